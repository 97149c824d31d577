"""The LASSO path: the homotopy from the largest penalty down, with every knot on the way.

Between two penalties the solution is followed on the slots; if the full gradient at the end shows that a feature
without a slot should have entered, it gets one and the stretch is walked again from its beginning. So the knots are
those of the whole problem, and the solution at every penalty is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ...base import while_loop
from .quadratic_loss import QuadraticLoss, relative_gap, violation
from .slot_sizes import Sizes, slot_sizes
from .slots import Slots, open_slots
from .stretch import Standing, grown, walked


class PathPoint(NamedTuple):
    """The solution at one penalty: coefficients, their derivative by the penalty, and the relative gap."""

    coef: Float[Array, " p"]
    slope: Float[Array, " p"]
    gap: Float[Array, ""]


class Walk(NamedTuple):
    """Where the path has come to, and the knots so far: penalties, and `1 + feature`, negative for those that left."""

    slots: Slots
    standing: Standing
    missed: Bool[Array, ""]
    knots: Float[Array, " k"]
    features: Int[Array, " k"]
    recorded: Int[Array, ""]


def walk_path(
    loss: QuadraticLoss,
    strengths: Float[Array, " m"],
    *,
    max_steps: int,
    max_knots: int,
) -> tuple[PathPoint, Walk]:
    """The solutions for `strengths`, in descending order, times the thresholds of `loss`, and the knots between."""
    sizes = slot_sizes(loss)[-1]
    standing = Standing.at(loss, jnp.zeros_like(loss.threshold))
    start = Walk(
        open_slots(loss, sizes, standing.w),
        standing._replace(strength=jnp.max(standing.entry)),
        jnp.asarray(False),
        jnp.zeros(max_knots, loss.threshold.dtype),
        jnp.zeros(max_knots, jnp.int32),
        jnp.zeros((), jnp.int32),
    )

    def to(walk: Walk, strength: Array) -> tuple[Walk, PathPoint]:
        # a fresh budget of steps for every penalty
        walk = walk._replace(standing=walk.standing._replace(steps=jnp.zeros_like(walk.standing.steps)))
        walk = while_loop(
            lambda at: ((at.standing.strength > strength) | at.missed) & (at.standing.steps < max_steps),
            lambda at: _stretch(loss, sizes, strength, at),
            walk,
        )
        return walk, _point(loss, strength, walk)

    walk, points = lax.scan(to, start, strengths)
    return points, walk


def _stretch(loss: QuadraticLoss, sizes: Sizes, target: Array, at: Walk) -> Walk:
    """One stretch, taken back if a feature without a slot should have entered on it."""
    before = at.standing
    slots, strength = grown(loss, sizes, target, before, at.slots)
    after, standing, (knots, features) = walked(loss, sizes, strength, before, slots, record=sizes.rows)
    outside = jnp.ones(sizes.features, bool).at[slots.feature].set(False, mode="drop")
    needed = jnp.where(outside, violation(loss.threshold, standing.gradient), 0)
    missed = jnp.any(needed > standing.strength * (1 + 1e3 * jnp.finfo(needed.dtype).eps))

    place = jnp.where((features != 0) & ~missed, at.recorded + jnp.arange(len(knots), dtype=jnp.int32), len(at.knots))
    kept = slots._replace(
        w=jnp.where(missed, slots.w, after.w),
        sign=jnp.where(missed, slots.sign, after.sign),
        tableau=slots.tableau.unless(missed, after.tableau),
    )
    again = before._replace(entry=jnp.maximum(before.entry, needed), steps=standing.steps)
    return Walk(
        kept,
        Standing(*(jnp.where(missed, old, new) for old, new in zip(again, standing, strict=True))),
        missed,
        at.knots.at[place].set(knots, mode="drop"),
        at.features.at[place].set(features, mode="drop"),
        at.recorded + jnp.where(missed, 0, jnp.sum(features != 0)).astype(jnp.int32),
    )


def _point(loss: QuadraticLoss, strength: Array, at: Walk) -> PathPoint:
    """The solution at `strength`; where the path has not begun, the penalties are larger than needed."""
    standing, slots = at.standing, at.slots
    limits = slots.take(loss.unit * loss.threshold)
    drift = slots.tableau.product(slots.gram, limits * slots.sign)
    slope = loss.unit * slots.scatter(jnp.where(slots.sign != 0, drift, 0), len(standing.w))
    gap = relative_gap(loss, standing.w, standing.gradient, standing.value, strength)
    return PathPoint(standing.w, slope, gap)
