"""What happens at a kink, a jump or an event: which branches follow, and the state and its derivative across it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..base import fori_loop
from .field import Field, View

ROUNDS = 3  # of flips that follow from flips: a jump of the field may turn another margin


def instant(t: Array, span: Array) -> Array:
    """A time that counts as none, `eps^{3/4}` of the larger of `|t|` and the whole span."""
    eps = float(jnp.finfo(t.dtype).eps)
    return eps**0.75 * jnp.maximum(jnp.abs(t), span)


def leaving(view: View, moment: Array) -> Array:
    """Which margins fall through zero within the moment, `(K,)`."""
    return (view.rate < 0) & (view.margin <= -view.rate * moment)


def settle(
    field: Field, t: Array, y: Array, parameters: Any, branches: Array, moment: Array
) -> tuple[Array, View, Array]:
    """The branches that the flow enters from a point on their borders, what is seen there, and whether it is stuck.

    A branch whose margin is about to fall is exchanged. A field that points back to a surface from both of its sides
    has no branch to enter: the flow slides, or sticks.
    """

    def exchange(_: Any, state: tuple[Array, View, Array]) -> tuple[Array, View, Array]:
        branches = state[0]
        seen = field.view(t, y, parameters, branches)
        # where a jump (a step of `floor`, an index) moved the operands of another kink, its margin is negative at once
        noise = 4 * moment * jnp.abs(seen.rate) + 64 * float(jnp.finfo(y.dtype).eps) * jnp.max(jnp.abs(y), initial=0.0)
        hit = leaving(seen, moment) | (seen.margin < -noise)
        return jnp.where(hit, seen.other, branches), seen, hit.any()

    none = jnp.zeros(field.count, y.dtype)
    start = (branches, View(jnp.zeros_like(y), none, none, branches), jnp.asarray(False))
    return fori_loop(0, ROUNDS + 1, exchange, start)


class Taylor(NamedTuple):
    """`y(t + s) = y + s f + s^2/2 df`: the flow for times of rounding size, right to two orders of differentiation."""

    y: Array
    f: Array
    df: Array

    def at(self, s: Array) -> Array:
        """The state a moment later."""
        return self.y + s * self.f + s * s / 2 * self.df


def expand(field: Field, t: Array, y: Array, parameters: Any, branches: Array) -> Taylor:
    """The flow around `(t, y)` with branches held."""
    f, push = jax.linearize(lambda t, y: field.look(t, y, parameters, branches)[0], t, y)
    return Taylor(y, f, push(jnp.ones_like(t), f))


def cross(
    field: Field, t: Array, y: Array, parameters: Any, old: Array, new: Array, index: Array, fired: Array, stop: Array
) -> tuple[Array, Array]:
    """Carry a state that was stepped onto a crossing at the nominal time `t` over to the other branches.

    The crossing time is `t + s`, where `s` solves `margin(t + s, y(t + s)) = 0`: zero but for rounding, though not its
    derivative. Flowing for `s` in the old branches, resetting, and flowing back for `s` in the new ones gives the
    state at `t`, and as a function of what came before it has the saltation matrix as derivative; for a kink, across
    which the field is continuous, that is the identity and only second derivatives see the crossing.

    Returns: the exact time, and the state after the crossing at the nominal time.
    """
    one = jnp.ones_like(t)

    def first(t, y):
        """The field, the margin and their rates along the flow."""

        def both(t, y):
            f, margin, _ = field.look(t, y, parameters, old)
            return f, margin[index]

        (f, m), push = jax.linearize(both, t, y)
        return (f, m), push(one, f)

    ((f, m), (df, dm)), push = jax.linearize(first, t, y)
    ddm = push(one, f)[1][1]
    transversal = jnp.abs(m) < jnp.abs(dm) * instant(t, one) ** 0.5
    dm = jnp.where(transversal, dm, 1)
    # one step of Chebyshev's method: derivatives of s of first and second order are right
    s = jnp.where(transversal, -m / dm - m * m * ddm / (2 * dm**3), 0)
    landed = field.reset(t + s, Taylor(y, f, df).at(s), parameters, fired)
    after = expand(field, t + s, landed, parameters, new)
    return t + s, jnp.where(stop, landed, after.at(-s))


class Beyond(NamedTuple):
    """Where the flow goes on: behind a crossing, or where it was."""

    y: Array
    branches: Array
    view: View
    which: Array
    fired: Array
    stop: Array
    stuck: Array
    jumped: Array
    speed: Array

    @classmethod
    def idle(cls, field: Field, y: Array, branches: Array, view: View) -> Beyond:
        """No crossing."""
        no, none = jnp.asarray(False), jnp.zeros((), jnp.int32)
        return cls(y, branches, view, none, jnp.zeros(len(field.events), bool), no, no, no, jnp.zeros((), y.dtype))


def enter(
    field: Field, t: Array, y: Array, view: View, parameters: Any, old: Array, floor: Array, moment: Array
) -> Beyond:
    """Cross where a margin was found to fall through zero: the next branches, the events that fire, and faults."""
    index = jnp.argmin(view.margin - floor).astype(jnp.int32)
    hit = leaving(view, moment) | (jnp.arange(field.count, dtype=jnp.int32) == index)
    first = field.count - len(field.events)
    flags = [hit[first + j] & event.fires(old[first + j] == 0) for j, event in enumerate(field.events)]
    fired = jnp.stack(flags) if flags else jnp.zeros(0, bool)
    stop = jnp.asarray(False)
    for flag, event in zip(flags, field.events, strict=True):
        stop = stop | (flag & event.terminal)
    new = jnp.where(hit, view.other, old)
    landed = field.reset(t, y, parameters, fired)
    if field.resets:
        new = jnp.where(fired.any(), field.own(t, landed, parameters), new)
    new, after, stuck = settle(field, t, landed, parameters, new, moment)
    gap, size = jnp.linalg.norm(after.f - view.f), jnp.linalg.norm(after.f) + jnp.linalg.norm(view.f)
    jumped = gap > 10 * float(jnp.finfo(y.dtype).eps) ** 0.5 * size
    return Beyond(landed, new, after, index, fired, stop, stuck, jumped, -view.rate[index])
