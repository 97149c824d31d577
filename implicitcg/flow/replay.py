"""The derivative: the recorded steps run again as a plain program, differentiated in both modes and to second order.

Steps and branches are held as they were found, so each segment is a smooth method on a smooth field, and its
derivative is the method applied to the variational equation. Crossings contribute what they must (`crossing.cross`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..base import anywhere, only_where
from ..nonsmooth import choose
from .crossing import cross, expand
from .field import Field
from .method import Stepper
from .record import Record

CHUNK, CHUNKS = 16, 64  # steps that are run, or skipped, together; and chunks of them, and so on


class Replayed(NamedTuple):
    """The states at the nodes of the record, the times of its crossings, and the values at the times asked for."""

    states: Array
    crossing_times: Array
    values: Array


class Follower(eqx.Module):
    """The path of a record as a function of the start, the parameters and the times."""

    field: Field = eqx.field(static=True)
    step: Stepper = eqx.field(static=True)

    def path(self, ts: Array, y: Array, parameters: Any, record: Record) -> Replayed:
        """The path, with the derivative of its replay."""
        return _path(ts, y, parameters, record, follower=self)

    def values(self, ts: Array, states: Array, parameters: Any, record: Record, branches: Array, stopped: Any) -> Array:
        """The solution at any times: one step from the node before; past the end NaN, or what a terminal event left."""

        def at(t):
            last = record.times[record.steps]
            k = jnp.searchsorted(record.times, t, side="right").astype(jnp.int32) - 1
            k = jnp.clip(k, jnp.zeros_like(k), record.steps)
            late = t > last
            end = jnp.where(late, lax.stop_gradient(last), t)
            y, _ = self._advance(record.times[k], end, states[k], parameters, branches[record.segments[k]])
            y = jnp.where(late & stopped, states[record.steps], y)
            return jnp.where(late & ~stopped, jnp.nan, y)

        return jax.vmap(at)(ts)

    def replay(self, ts: Array, y: Array, parameters: Any, record: Record, branches: Array) -> Replayed:
        """Every step once more."""
        start = record.times[0]
        y = expand(self.field, ts[0], y, parameters, branches[0]).at(start - ts[0])
        most = record.times.shape[0] - 1
        shape = _nested(most)

        end = record.times[record.steps]
        times = jnp.where(jnp.isfinite(record.times), record.times, end)  # idle steps have length zero
        idle = jnp.arange(most, dtype=jnp.int32) >= record.steps

        def padded(x: Array, fill: Any) -> Array:
            rest = jnp.broadcast_to(jnp.asarray(fill, x.dtype), (int(np.prod(shape)) - most,))
            return jnp.concatenate([x, rest]).reshape(shape)

        steps = (
            padded(times[:-1], end),
            padded(times[1:], end),
            padded(record.segments[:-1], 0),
            padded(record.crosses[:-1] & ~idle, False),
            padded(idle, True),
        )

        def one(y: Array, step: Any) -> tuple[Array, tuple[Array, Array]]:
            t0, t1, segment, crosses, idle = step
            after, _ = self._advance(t0, t1, y, parameters, branches[segment])
            after = jnp.where(idle, y, after)

            def over() -> tuple[Array, Array]:
                new = jnp.minimum(segment + 1, branches.shape[0] - 1)
                c = jnp.minimum(segment, record.index.shape[0] - 1)
                old = (branches[segment], branches[new], record.index[c], record.fired[c], record.stops[c])
                return cross(self.field, t1, after, parameters, *old)

            if not self.field.count:
                return after, (after, t1)
            time, after = only_where(crosses, over, (t1, after))
            return after, (after, time)

        _, (states, reached) = _in_chunks(jax.checkpoint(lambda y, steps: lax.scan(one, y, steps)), y, steps)
        states = jnp.concatenate([y[None], states.reshape(-1, y.size)[:most]])
        return self._complete(ts, states, reached.reshape(-1)[:most], parameters, record, branches)

    def _complete(
        self, ts: Array, states: Array, reached: Array, parameters: Any, record: Record, branches: Array
    ) -> Replayed:
        met = jnp.arange(record.step.shape[0], dtype=jnp.int32) < record.crossings
        crossing_times = jnp.where(met, reached[record.step], jnp.inf)
        stopped = (record.stops & met).any()
        return Replayed(states, crossing_times, self.values(ts, states, parameters, record, branches, stopped))

    def found(self, ts: Array, parameters: Any, record: Record) -> Replayed:
        """The path as the search left it."""
        return self._complete(ts, record.states, record.times[1:], parameters, record, record.branches)

    def _advance(self, t0: Array, t1: Array, y: Array, parameters: Any, branches: Array) -> tuple[Array, Array]:
        return self.step(lambda t, y: self.field.look(t, y, parameters, branches)[0], t0, t1, y)


def _nested(most: int) -> tuple[int, ...]:
    """A shape for `most` steps in chunks of chunks, `(n, CHUNKS, ..., CHUNKS, CHUNK)`, with few levels."""
    inner: tuple[int, ...] = (min(CHUNK, most),)
    while (size := int(np.prod(inner))) < most:
        inner = (min(CHUNKS, -(-most // size)), *inner)
    return inner


def _in_chunks(run: Any, y: Array, steps: Any) -> Any:
    """`run` on the steps of the last axis, level by level, leaving out every chunk that is idle in all of a batch."""
    if steps[-1].ndim == 1:
        return run(y, steps)
    shape = steps[-1].shape[1:]

    def skip(y: Array, steps: Any) -> Any:
        return y, (jnp.broadcast_to(y, (*shape, *y.shape)), steps[1])

    def row(y: Array, steps: Any) -> Any:
        return lax.cond(anywhere(~steps[-1].all()), lambda y, steps: _in_chunks(run, y, steps), skip, y, steps)

    return lax.scan(row, y, steps)


@eqx.filter_custom_jvp
def _path(ts: Array, y: Array, parameters: Any, record: Record, *, follower: Follower) -> Replayed:
    return follower.found(ts, parameters, record)


@_path.def_jvp
def _path_jvp(primals: Any, tangents: Any, *, follower: Follower) -> tuple[Replayed, Replayed]:
    ts, y, parameters, record = primals
    branches = _chosen(record, y)
    moving, still = eqx.partition((ts, y, parameters), eqx.is_inexact_array)
    filled = jax.tree.map(_filled, moving, tangents[:3], is_leaf=lambda leaf: leaf is None)

    def replay(moving: Any) -> Replayed:
        ts, y, parameters = eqx.combine(moving, still)
        return follower.replay(ts, y, parameters, record, branches)

    _, path = jax.jvp(replay, (moving,), (filled,))
    # the map itself and not `found`, whose values stand in the record: derivatives of the value inside a derivative, as
    # in the Hessian of a square, are then those of the flow
    return _path(ts, y, parameters, record, follower=follower), path


def _filled(x: Any, tangent: Any) -> Any:
    if x is None:
        return None
    return jnp.zeros_like(x) if tangent is None else tangent


def _chosen(record: Record, y: Array) -> Array:
    """The branches of the derivative: where the flow stays on a kink for a whole segment, the library may choose.

    Weight 1 is the branch taken, 0 the one behind it. One branch is chosen for a whole segment; a flow of more than one
    dimension has further elements, with branches that change in between, and the loop of one round says so.
    """
    segments = jnp.arange(record.flat.shape[0], dtype=jnp.int32)[:, None] <= record.crossings
    distance = lax.stop_gradient(jnp.where(segments, record.flat, jnp.inf))
    if distance.shape[1] == 0:
        distance = jnp.full((1, 1), jnp.inf, y.dtype)
    one = jnp.ones_like(distance)

    def ask(default: Array) -> Array:
        return choose(default, distance, name="flow along a kink")

    if y.size == 1:
        weight = ask(one)
    else:
        go = jnp.asarray(True)
        _, weight = lax.while_loop(lambda s: s[0], lambda s: (~s[0], ask(s[1])), (go, one))
    if record.flat.shape[1] == 0:
        return record.branches
    return jnp.where(weight > 0.5, record.branches, record.others)
