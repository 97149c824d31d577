"""One stretch of the homotopy: slots for the features expected next, the walk on them, and one pass over `X`."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from ...base import switch
from .line import follow, line_from
from .quadratic_loss import QuadraticLoss, needed_strength, relative_gap, violation
from .slot_sizes import Sizes
from .slots import Slots, add, tidy
from .thresholds import THRESHOLDS


class Standing(NamedTuple):
    """Where the solve has come to: `w` is optimal, on its slots, for `strength` times the penalties.

    `entry` predicts for every feature the strength at which it will enter the support.
    """

    w: Float[Array, " p"]
    gradient: Float[Array, " p"]
    strength: Float[Array, ""]
    entry: Float[Array, " p"]
    value: Float[Array, ""]
    gap: Float[Array, ""]
    steps: Int[Array, ""]
    knots: Int[Array, ""]

    @classmethod
    def nowhere(cls, w: Float[Array, " p"]) -> Standing:
        """Before the first step."""
        number, count = jnp.zeros((), w.dtype), jnp.zeros((), jnp.int32)
        return cls(w, w, number, w, number, number, count, count)

    @classmethod
    def at(cls, loss: QuadraticLoss, w: Float[Array, " p"]) -> Standing:
        """The start of a homotopy at `w`: with penalties so large that no other feature would enter."""
        gradient, value, count = loss.gradient(w), loss.value(w), jnp.zeros((), jnp.int32)
        strength = jnp.maximum(needed_strength(loss.threshold, gradient), 1)
        entry, gap = violation(loss.threshold, gradient), relative_gap(loss, w, gradient, value)
        return cls(w, gradient, strength, entry, value, gap, count, count)


def grown(
    loss: QuadraticLoss, sizes: Sizes, target: Float[Array, ""], standing: Standing, slots: Slots
) -> tuple[Slots, Float[Array, ""]]:
    """Slots for the features expected next, and how far the penalties may fall with them, at most to `target`."""
    taken = jnp.zeros(sizes.features, bool).at[slots.feature].set(True, mode="drop")
    entry, new = lax.top_k(jnp.where(taken, -1, standing.entry).astype(jnp.float32), sizes.chunk)  # quick in float32
    entry = entry.astype(standing.w.dtype)
    # the penalties fall until the features expected to enter fill the slots that are free
    lowest = jnp.maximum(THRESHOLDS.shrink * standing.strength, target)
    full = (slots.filled > sizes.limit - sizes.chunk) & (not sizes.whole)
    # with more features on their threshold than slots they must fall nevertheless: what is missed is repaired
    highest = jnp.where(full, THRESHOLDS.anyway, 1) * standing.strength
    strength = jnp.clip(entry[-1], lowest, jnp.maximum(highest, target))
    wanted = entry > THRESHOLDS.close * strength
    # a walk that runs out of rows stops in the middle of its stretch, and a pass over `X` is lost: anew before that
    worn = slots.tableau.used > sizes.rows - (sizes.rows - sizes.room) // 2

    def change(slots: Slots) -> Slots:
        slots = switch((full | worn).astype(jnp.int32), [lambda s: s, lambda s: tidy(s, sizes, standing.entry)], slots)
        return add(loss, slots, new, wanted)

    return switch((wanted[0] | worn).astype(jnp.int32), [lambda s: s, change], slots), strength


def walked(
    loss: QuadraticLoss,
    sizes: Sizes,
    strength: Float[Array, ""],
    standing: Standing,
    slots: Slots,
    record: int = 0,
) -> tuple[Slots, Standing, tuple[Float[Array, " k"], Int[Array, " k"]]]:
    """The homotopy on the slots to `strength`, the full gradient there, and the knots passed; the gap is left.

    Of the first `record` knots it returns the strengths and `1 + feature`, negative where it left, 0 for none.
    """
    # The walk starts from the correlations of the full gradient, not from those that the last walk carried along. What
    # rounding, and features that had no slot, have put between the two becomes the shift of the line, and is taken back
    # on it. So no error outlives a stretch, and a start from anywhere is no special case.
    p, unit = sizes.features, loss.unit
    limits, used = slots.take(unit * loss.threshold), slots.used()
    correlation = -slots.take(unit * standing.gradient)
    # what is left of a column beside the active ones is at most this where it depends on them to rounding
    floor = 10 * sizes.limit * jnp.finfo(limits.dtype).eps * jnp.diagonal(slots.gram)
    before = standing.strength
    line = line_from(correlation, slots.sign, before * limits, strength * limits, used, floor)
    reached = follow(slots.gram, slots.tableau, line, slots.w, slots.sign, correlation, record)
    feature = slots.feature
    slots = slots._replace(w=reached.w, sign=reached.sign, tableau=reached.tableau)

    w = unit * slots.scatter(slots.w, p)
    value, gradient, change = _full(loss, slots, w, jnp.where(slots.sign != 0, -reached.drift, 0))
    fallen = before - strength
    now = strength + reached.tau * fallen
    entry = _entry(loss, gradient, change / jnp.where(fallen > 0, fallen, 1), now)
    entry = jnp.where(fallen > 0, entry, violation(loss.threshold, gradient))
    steps, knots = standing.steps + 1, standing.knots + reached.knots
    standing = Standing(w, gradient, now, entry, value, standing.gap, steps, knots)
    turned = reached.passed
    who = jnp.sign(turned.slot) * (1 + jnp.take(feature, jnp.abs(turned.slot) - 1, mode="clip"))
    return slots, standing, (strength + turned.tau * fallen, who)


def _full(
    loss: QuadraticLoss, slots: Slots, w: Float[Array, " p"], speed: Float[Array, " c"]
) -> tuple[Float[Array, ""], Float[Array, " p"], Float[Array, " p"]]:
    """The value, the gradient, and how the gradient changes with the speed of the active variables."""
    # The two products with `X^T` at the end are the pass over `X`, and what a stretch costs as a rule. The fits before
    # them are made of the active columns only: of the copies in the slots, or by a design that knows its columns.
    smooth = loss.smooth
    moving = loss.unit * slots.scatter(speed, w.shape[0])
    if slots.columns is not None:
        residual, motion = smooth.centred(smooth.y) - slots.w @ slots.columns, speed @ slots.columns
    elif not smooth.X.dense:
        units = slots.take(loss.unit)
        made, moved = (smooth.X.combination(slots.feature, units * v) for v in (slots.w, speed))
        residual, motion = smooth.centred(smooth.y - made), smooth.centred(moved)
    else:
        residual, motion = smooth.residuals(w), smooth.centred(smooth.X @ moving)
    value = jnp.sum(smooth.weighted(jnp.square(residual))) / 2 + jnp.sum(loss.shrunk(w) * w) / 2
    gradient = -(smooth.weighted(residual) @ smooth.X) + loss.shrunk(w)
    change = smooth.weighted(motion) @ smooth.X + loss.shrunk(moving)
    return value, gradient, change


def _entry(
    loss: QuadraticLoss, gradient: Float[Array, " p"], change: Float[Array, " p"], strength: Float[Array, ""]
) -> Float[Array, " p"]:
    """The strength `x` at which `|g_j + (strength - x) change_j| = x t_j`, and at least `|g_j| / t_j` when violated."""
    # until the next knot all is affine in the strength, so both sides of the condition are lines that meet where the
    # feature enters; a knot in between makes the prediction wrong, which costs a repair and nothing else
    origin = gradient + strength * change
    up, down = loss.threshold + change, loss.threshold - change
    above = jnp.where(up > 0, origin / jnp.where(up > 0, up, 1), 0)
    below = jnp.where(down > 0, -origin / jnp.where(down > 0, down, 1), 0)
    predicted = jnp.clip(jnp.maximum(above, below), 0, strength)
    outside = violation(loss.threshold, gradient)
    return jnp.where(outside > strength, outside, predicted)
