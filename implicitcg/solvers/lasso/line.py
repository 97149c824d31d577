"""Following the solution of a small l1 problem along a line of penalties, from knot to knot.

The problem is `min_w 1/2 w^T G w - c^T w + sum_j t_j |w_j|`. Let `w` be any point with signs `s` on its support, and
let the thresholds fall from `t0` to `t1`. A shift `e` of the linear term, as small as possible, makes `w` optimal for
`t0`; then `c + tau e` and `t1 + tau (t0 - t1)` with `tau` from 1 to 0 lead from `w` to the solution for `t1` along a
path that is piecewise affine in `tau`. At each knot one variable leaves the support or enters it. From an exact
solution the shift is zero and the path is the regularisation path; from anywhere else it is a repair that takes as many
knots as there are variables to exchange.

Source: Osborne, Presnell, Turlach, A new approach to variable selection in least squares problems, IMA J. Numer. Anal.
2000; Ferreau, Bock, Diehl, An online active set strategy to overcome the limitations of explicit MPC, 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ...base import while_loop
from .tableau import Tableau


class Line(NamedTuple):
    """Thresholds `end + tau fall` and the shift `tau shift` of the linear term, for `tau` from 1 to 0."""

    end: Float[Array, " c"]
    fall: Float[Array, " c"]
    shift: Float[Array, " c"]
    usable: Bool[Array, " c"]
    floor: Float[Array, " c"]


class Knots(NamedTuple):
    """The first knots passed: where, and `1 + slot` of who entered, negative for who left, 0 for none."""

    tau: Float[Array, " k"]
    slot: Int[Array, " k"]


class Position(NamedTuple):
    """Where the path has come to: `tau`, the solution, its correlations `c + tau e - G w`, signs and tableau.

    `drift` is `T q` with `q = fall s - e` on the support and 0 elsewhere: minus the speed of the active variables, and
    what moves the other correlations. A variable whose column depends on the active ones cannot enter beside them: it
    is `barred` where its correlation stays on the threshold with theirs, and else takes the place of one of them: the
    two are `due` to leave and to enter, in this order (-1: none). `first` is the row of the tableau it began with.
    """

    tau: Float[Array, ""]
    w: Float[Array, " c"]
    correlation: Float[Array, " c"]
    sign: Float[Array, " c"]
    drift: Float[Array, " c"]
    barred: Bool[Array, " c"]
    due: Int[Array, "2"]
    tableau: Tableau
    knots: Int[Array, ""]
    first: Int[Array, ""]
    passed: Knots


def line_from(
    correlation: Float[Array, " c"],
    sign: Float[Array, " c"],
    start: Float[Array, " c"],
    end: Float[Array, " c"],
    usable: Bool[Array, " c"],
    floor: Float[Array, " c"],
) -> Line:
    """The line from thresholds `start` to `end`, with the shift that makes the present point optimal for `start`."""
    active = start * sign - correlation
    inactive = jnp.clip(correlation, -start, start) - correlation
    return Line(end, start - end, jnp.where(sign != 0, active, inactive), usable, floor)


def follow(
    gram: Float[Array, "c c"],
    tableau: Tableau,
    line: Line,
    w: Float[Array, " c"],
    sign: Float[Array, " c"],
    correlation: Float[Array, " c"],
    record: int = 0,
) -> Position:
    """The end of the line, or the place on it where the tableau has no row left (`tau > 0`).

    The first `record` knots are written down.
    """
    active = sign != 0
    push = jnp.where(active, line.fall * sign - line.shift, 0)
    start = Position(
        jnp.ones((), w.dtype),
        w,
        correlation + line.shift,
        sign,
        tableau.product(gram, push),
        jnp.zeros_like(active),
        jnp.full(2, -1, jnp.int32),
        tableau,
        jnp.zeros((), jnp.int32),
        tableau.used,
        Knots(jnp.zeros(record, w.dtype), jnp.zeros(record, jnp.int32)),
    )
    capacity, count = tableau.rows.shape[0], jnp.sum(line.usable).astype(jnp.int32)
    return while_loop(
        lambda at: (at.tau > 0) & (at.tableau.used < capacity), lambda at: _to_next_knot(gram, count, line, at), start
    )


def _to_next_knot(gram: Array, count: Array, line: Line, at: Position) -> Position:
    active = at.sign != 0
    threshold = line.end + at.tau * line.fall
    speed = jnp.where(active, -at.drift, 0)
    change = jnp.where(active, 0, -line.shift - at.drift)
    # how far until an active variable is zero (an unpenalised one may pass), or a correlation meets its threshold; of
    # several that enter at one knot some may have to leave again at once, from zero
    shrinks = -at.sign * speed
    leaves = active & (line.end > 0) & (shrinks > 0)
    may_enter = line.usable & ~active & ~at.barred
    up, down = change + line.fall, line.fall - change
    above = _ratio(jnp.maximum(threshold - at.correlation, 0), up, may_enter & (up > 0))
    below = _ratio(jnp.maximum(threshold + at.correlation, 0), down, may_enter & (down > 0))
    far = jnp.where(leaves, _ratio(jnp.maximum(at.sign * at.w, 0), shrinks, leaves), jnp.minimum(above, below))
    forced = at.due[0] >= 0
    k = jnp.where(forced, at.due[0], jnp.argmin(far).astype(jnp.int32))
    length = jnp.where(forced, 0, jnp.minimum(far[k], at.tau))
    last = ~forced & (far[k] >= at.tau)
    tau = jnp.where(last, 0, at.tau - length)
    leaving = active[k]
    w = at.w + length * speed
    w = w.at[k].set(jnp.where(leaving & ~last, 0, w[k]))
    correlation = jnp.where(active, (line.end + tau * line.fall) * at.sign, at.correlation + length * change)

    column, pivot = at.tableau.column(gram, k, count)
    side = jnp.where(at.correlation[k] + length * change[k] >= 0, 1, -1).astype(w.dtype)
    depends = ~last & ~leaving & (pivot <= line.floor[k])
    swaps = depends & ~forced & _outgrows(line, change, k, side)
    w, leaver = _exchanged(w, at.sign, k, side, column, swaps)
    turn = ~last & ~depends
    push = line.fall[k] * jnp.where(leaving, at.sign[k], side) - line.shift[k]
    drift = at.drift + jnp.where(leaving, -at.drift[k], push - at.drift[k]) / pivot * column
    here = jnp.where(leaving, push - at.drift[k] / pivot, (at.drift[k] - push) / pivot)
    barred = jnp.where(turn & leaving, False, at.barred.at[k].set(at.barred[k] | (depends & (leaver < 0))))
    return Position(
        tau,
        w,
        correlation,
        at.sign.at[k].set(jnp.where(turn, jnp.where(leaving, 0, side), at.sign[k])),
        jnp.where(turn, drift.at[k].set(here), at.drift),
        barred,
        jnp.where(leaver >= 0, jnp.stack([leaver, k]), jnp.stack([at.due[1], jnp.full_like(k, -1)])),
        at.tableau.sweep(k, column, pivot, leaving, turn),
        at.knots + 1,
        at.first,
        _written(at, tau, jnp.where(leaving, -1 - k, 1 + k), turn),
    )


def _written(at: Position, tau: Array, slot: Array, when: Array) -> Knots:
    if len(at.passed.tau) == 0:
        return at.passed
    place = jnp.where(when, at.tableau.used - at.first, at.passed.tau.shape[0])
    return Knots(at.passed.tau.at[place].set(tau, mode="drop"), at.passed.slot.at[place].set(slot, mode="drop"))


def _outgrows(line: Line, change: Array, k: Array, side: Array) -> Bool[Array, ""]:
    """Whether the correlation of `k` leaves its threshold by more than rounding, rather than staying on it."""
    rate, size = side * change[k] + line.fall[k], jnp.max(line.fall + jnp.abs(line.shift))
    return rate > jnp.sqrt(jnp.finfo(change.dtype).eps) * size


def _exchanged(
    w: Array, sign: Array, k: Array, side: Array, column: Array, when: Array
) -> tuple[Float[Array, " c"], Int[Array, ""]]:
    """`w` moved along the null direction in which `k` replaces active variables, until one of them is zero.

    With `z = G_AA^{-1} G_Ak` the predictions do not change along `(w_k, w_A) + side (1, -z)`, and neither does the
    objective, since `k` is on its threshold. Returns the variable that is zero, -1 if there is none.
    """
    towards = side * column * sign
    gone = _ratio(jnp.maximum(sign * w, 0), towards, (sign != 0) & (towards > 0))
    j = jnp.argmin(gone).astype(jnp.int32)
    when = when & jnp.isfinite(gone[j])
    step = jnp.where(when, gone[j], 0)
    moved = (w - jnp.where(sign != 0, side * step * column, 0)).at[k].add(side * step)
    return jnp.where(when, moved.at[j].set(0), w), jnp.where(when, j, -1)


def _ratio(numerator: Array, denominator: Array, where: Array) -> Array:
    return jnp.where(where, numerator / jnp.where(where, denominator, 1), jnp.inf)
