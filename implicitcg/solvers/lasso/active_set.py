"""The default solver of the LASSO and the elastic net: a homotopy on slots, from knot to knot, with a certified gap."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ...base import switch, while_loop
from ...core import AbstractSolver, Found
from ...linear import AbstractDesign
from .line import follow, line_from
from .momentum import Reached, descend
from .quadratic_loss import QuadraticLoss, gap_tolerance, needed_strength, relative_gap, violation
from .slots import Sizes, Slots, add, open_slots, tidy
from .tableau import BLOCK, MANY
from .working_set import FEW, finish, most_independent, require_quadratic, room_for

SHRINK = 0.05  # the penalties fall at most by this factor before the full gradient is looked at again
PATIENCE = 50  # steps with momentum for one pass over the full gradient that is allowed
SINGLE = 1300  # up to this many slots one size does
ANYWAY = 0.95  # the penalties fall at least by this factor when no slot is free
NEAR = 1e-6  # a correlation this close to its threshold, relative to it, is taken to be on it
CLOSE = 0.9  # a feature gets a slot when it is predicted to enter above this part of the next penalties


class Progress(NamedTuple):
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
    def nowhere(cls, w: Float[Array, " p"]) -> Progress:
        """Before the first step."""
        number, count = jnp.zeros((), w.dtype), jnp.zeros((), jnp.int32)
        return cls(w, w, number, w, number, number, count, count)


class Known(NamedTuple):
    """Features, padded by `p`, and their Gram matrix in units of diagonal one, for the factor at the end."""

    feature: Int[Array, " c"]
    gram: Float[Array, "c c"]

    @classmethod
    def nothing(cls, size: int, like: Float[Array, " p"]) -> Known:
        """Room for `size` features."""
        return cls(jnp.full(size, like.shape[0], jnp.int32), jnp.zeros((size, size), like.dtype))

    def block(self, loss: QuadraticLoss, index: Int[Array, " k"]) -> Float[Array, "k k"]:
        """The Hessian on features all of which are known; NaN where one is not."""
        p = loss.unit.shape[0]
        place = jnp.full(p, len(self.feature), jnp.int32)
        place = place.at[self.feature].set(jnp.arange(len(self.feature), dtype=jnp.int32), mode="drop")[index]
        scaled = jnp.take(jnp.take(self.gram, place, axis=0, mode="fill"), place, axis=1, mode="fill")
        return scaled / (loss.unit[index][:, None] * loss.unit[index][None, :])


class _Stage(NamedTuple):
    slots: Slots
    progress: Progress
    crowded: Bool[Array, ""]
    lacking: Bool[Array, ""]
    spare: Int[Array, ""]


class ActiveSet(AbstractSolver):
    """LASSO and elastic net by a homotopy on a growing set of features.

    The penalties fall from where the start is optimal to their values. On the way the solution is followed from knot
    to knot on a few features, the slots, each knot one rank-one change of a swept Gram matrix; then one pass over `X`
    gives the full gradient and predicts which features come next. What has been missed is repaired by the same
    homotopy, so the end is exact, and a warm start costs as many knots as variables change sides. Slots come in few
    static sizes; all are in one program, and one that is not needed is not run. The end is one Newton step with the
    exact gradient, whose Cholesky factor is handed to the derivative. A feature that depends linearly on the active
    ones stays on its threshold with them, or takes the place of one of them.

    Args:
        tolerance: the duality gap to reach, relative to the objective at zero; `None` means `1e-10` in float64 and
            `50 eps` (6e-6) in float32.
        max_steps: passes over the full gradient.
        capacity: the most features that may have a slot; a support that needs more than half of it and does not
            converge is reported as `over_capacity`. `None` means `min(p, n + 256)`, at most 4096; what needs more is
            left to proximal gradient with momentum, and of a sparse `X` so large what needs more than 1024.

    Source: Osborne, Presnell, Turlach, A new approach to variable selection in least squares problems, 2000; Massias,
        Gramfort, Salmon, Celer: a fast solver for the lasso with dual extrapolation, ICML 2018, for working sets.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    capacity: int | None = eqx.field(static=True, default=None)

    @staticmethod
    def accepts(problem: Any) -> bool:
        """Whether `problem` is a least-squares loss plus a weighted l1 norm or an elastic net."""
        return QuadraticLoss.accepts(problem)

    def run(self, problem: Any, init: Float[Array, " p"]) -> Found:
        """See `AbstractSolver.run`."""
        loss = require_quadratic(self, problem)
        tolerance = gap_tolerance(self.tolerance, init.dtype)
        stages = slot_sizes(loss, self.capacity, quick=True)
        # with slots for fewer features than can be independent, momentum goes on where they do not suffice
        beyond = self.capacity is None and stages[-1].limit < most_independent(loss)
        # otherwise a start with more features than can be independent is none
        init = init if beyond else jnp.where(jnp.sum(init != 0) > stages[-1].crowd, 0, init)
        # where a degenerate start leads nowhere, once more from zero
        attempts = 1 if beyond else jnp.where(jnp.any(init != 0), 2, 1)
        # of one size of slots the Gram matrix is all that the factor at the end needs
        single = len(stages) == 1 and not beyond

        def attempt(at: tuple[Progress, Known, Int[Array, ""]]) -> tuple[Progress, Known, Int[Array, ""]]:
            progress = begin(loss, jnp.where(at[2] > 0, 0, init))
            if single:
                return *_stage(loss, stages[0], tolerance, self.max_steps, progress), at[2] + 1
            for sizes in stages:
                progress = _advance(loss, sizes, tolerance, self.max_steps, progress)
            return progress, at[1], at[2] + 1

        nowhere = Progress.nowhere(init), Known.nothing(stages[0].buffer if single else 0, init)
        progress, known, _ = while_loop(
            lambda at: (at[2] == 0) | ((at[0].gap > tolerance) & (at[2] < attempts)),
            attempt,
            (*nowhere, jnp.zeros((), jnp.int32)),
        )

        def block(index: Int[Array, " k"]) -> Float[Array, "k k"]:
            return known.block(loss, index)

        end = progress.w, progress.gradient, progress.value, progress.knots
        if beyond:
            start = Reached(*end[:3], progress.gap, jnp.zeros((), jnp.int32))
            last = descend(loss, start, tolerance, PATIENCE * self.max_steps)
            end = *last[:3], progress.knots + last.steps
        limit = len(init) if beyond else stages[-1].limit
        return finish(problem, loss, tolerance, limit, *end, block if single else None)


def slot_sizes(loss: QuadraticLoss, capacity: int | None = None, *, quick: bool = False) -> tuple[Sizes, ...]:
    """The static sizes of slots: the capacity where that is small, else eighths of it before.

    Where it is `quick` to go on without slots, there are few of them: with large sparse designs, whose products are
    cheaper than knots among thousands of features.
    """
    p, rank = loss.threshold.shape[0], most_independent(loss)
    sparse = isinstance(loss.smooth.X, AbstractDesign)
    largest = min(p, max(min(2 * rank, rank + 256), 128))
    largest = min(largest, 4096) if capacity is None else room_for(capacity, largest, loss.threshold.dtype)
    if quick and sparse and capacity is None and largest < rank:
        largest = FEW
    limits = [largest]
    while limits[0] > SINGLE:
        limits.insert(0, limits[0] // 8)
    rooms = [limit // 2 for limit in limits[:-1]] + [min(largest, rank)]
    crowds = [2 * limit // 5 for limit in limits[:-1]] + [4 * largest // 5 if largest < rank else rank]
    every = zip(limits, rooms, crowds, [0, *rooms], strict=False)
    # a slot that is not needed after all costs more where columns are sparse, and the pass over `X` less
    most = 64 if sparse else 256
    return tuple(_sizes(limit, room, crowd, p, before, most) for limit, room, crowd, before in every)


def _sizes(limit: int, room: int, crowd: int, p: int, before: int, most: int) -> Sizes:
    rows = room + max(room // 2, 32)
    rows += -rows % BLOCK if rows > MANY else 0
    return Sizes(limit, min(limit, max(limit // 4, 16), most), room, crowd, rows, p, before)


def begin(loss: QuadraticLoss, w: Float[Array, " p"]) -> Progress:
    """The start of a homotopy at `w`."""
    gradient, value, count = loss.gradient(w), loss.value(w), jnp.zeros((), jnp.int32)
    strength = jnp.maximum(needed_strength(loss.threshold, gradient), 1)
    entry, gap = violation(loss.threshold, gradient), relative_gap(loss, w, gradient, value)
    return Progress(w, gradient, strength, entry, value, gap, count, count)


def _advance(loss: QuadraticLoss, sizes: Sizes, tolerance: float, max_steps: int, progress: Progress) -> Progress:
    """On towards the solution with one of several sizes of slots, if it has not been reached."""
    # a loop of at most one turn: unlike `lax.cond` it costs nothing in a batch that does not need it
    return while_loop(
        lambda at: at[1] & (at[0].gap > tolerance),
        lambda at: (_stage(loss, sizes, tolerance, max_steps, at[0])[0], jnp.zeros_like(at[1])),
        (progress, jnp.asarray(True)),
    )[0]


def _stage(
    loss: QuadraticLoss, sizes: Sizes, tolerance: float, max_steps: int, progress: Progress
) -> tuple[Progress, Known]:
    """On towards the solution with one size of slots.

    It ends when the gap is reached and every feature on its threshold has a slot, when the active set outgrows its
    room, or after `max_steps`.
    """

    def unfinished(at: _Stage) -> Bool[Array, ""]:
        far = (at.progress.gap > tolerance) | (at.lacking & (at.spare > 0))
        return far & (at.progress.steps < max_steps) & ~at.crowded

    def step(at: _Stage) -> _Stage:
        there = at.progress.gap <= tolerance
        slots, strength = grown(loss, sizes, jnp.ones_like(at.progress.strength), at.progress, at.slots)
        slots, progress, _ = walked(loss, sizes, strength, at.progress, slots)
        gap = relative_gap(loss, progress.w, progress.gradient, progress.value)
        return stage(slots, progress._replace(gap=gap), at.spare - there.astype(jnp.int32))

    def stage(slots: Slots, progress: Progress, spare: Array) -> _Stage:
        tied = (violation(loss.threshold, progress.gradient) > 1 - NEAR) & (loss.threshold > 0)
        slotless = jnp.ones_like(tied).at[slots.feature].set(False, mode="drop")
        crowded = jnp.sum(progress.w != 0) > sizes.crowd
        return _Stage(slots, progress, crowded, jnp.any(tied & slotless), spare)

    start = stage(
        open_slots(loss, sizes, progress.w), progress, jnp.full((), sizes.limit // sizes.chunk + 2, jnp.int32)
    )
    end = while_loop(unfinished, step, start)
    return end.progress, Known(end.slots.feature, end.slots.gram)


def grown(
    loss: QuadraticLoss, sizes: Sizes, target: Float[Array, ""], progress: Progress, slots: Slots
) -> tuple[Slots, Float[Array, ""]]:
    """Slots for the features expected next, and how far the penalties may fall with them, at most to `target`."""
    taken = jnp.zeros(sizes.features, bool).at[slots.feature].set(True, mode="drop")
    entry, new = lax.top_k(jnp.where(taken, -1, progress.entry).astype(jnp.float32), sizes.chunk)  # quick in float32
    entry = entry.astype(progress.w.dtype)
    # the penalties fall until the features expected to enter fill the slots that are free
    lowest = jnp.maximum(SHRINK * progress.strength, target)
    full = (slots.filled > sizes.limit - sizes.chunk) & (not sizes.whole)
    # with more features on their threshold than slots they must fall nevertheless: what is missed is repaired
    highest = jnp.where(full, ANYWAY, 1) * progress.strength
    strength = jnp.clip(entry[-1], lowest, jnp.maximum(highest, target))
    wanted = entry > CLOSE * strength
    worn = slots.tableau.used > sizes.rows - (sizes.rows - sizes.room) // 2

    def change(slots: Slots) -> Slots:
        slots = switch((full | worn).astype(jnp.int32), [lambda s: s, lambda s: tidy(s, sizes, progress.entry)], slots)
        return add(loss, slots, new, wanted)

    return switch((wanted[0] | worn).astype(jnp.int32), [lambda s: s, change], slots), strength


def walked(
    loss: QuadraticLoss,
    sizes: Sizes,
    strength: Float[Array, ""],
    progress: Progress,
    slots: Slots,
    record: int = 0,
) -> tuple[Slots, Progress, tuple[Float[Array, " k"], Int[Array, " k"]]]:
    """The homotopy on the slots to `strength`, the full gradient there, and the knots passed; the gap is left.

    Of the first `record` knots it returns the strengths and `1 + feature`, negative where it left, 0 for none.
    """
    p, unit = sizes.features, loss.unit
    limits, used = slots.take(unit * loss.threshold), slots.used()
    correlation = -slots.take(unit * progress.gradient)
    floor = 10 * sizes.limit * jnp.finfo(limits.dtype).eps * jnp.diagonal(slots.gram)
    before = progress.strength
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
    steps, knots = progress.steps + 1, progress.knots + reached.knots
    progress = Progress(w, gradient, now, entry, value, progress.gap, steps, knots)
    turned = reached.passed
    who = jnp.sign(turned.slot) * (1 + jnp.take(feature, jnp.abs(turned.slot) - 1, mode="clip"))
    return slots, progress, (strength + turned.tau * fallen, who)


def _full(
    loss: QuadraticLoss, slots: Slots, w: Float[Array, " p"], speed: Float[Array, " c"]
) -> tuple[Float[Array, ""], Float[Array, " p"], Float[Array, " p"]]:
    """The value, the gradient, and how the gradient changes with the speed of the active variables."""
    smooth = loss.smooth
    moving = loss.unit * slots.scatter(speed, w.shape[0])
    if slots.columns is not None:
        residual, motion = smooth.centred(smooth.y) - slots.w @ slots.columns, speed @ slots.columns
    elif isinstance(smooth.X, AbstractDesign):
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
    origin = gradient + strength * change
    up, down = loss.threshold + change, loss.threshold - change
    above = jnp.where(up > 0, origin / jnp.where(up > 0, up, 1), 0)
    below = jnp.where(down > 0, -origin / jnp.where(down > 0, down, 1), 0)
    predicted = jnp.clip(jnp.maximum(above, below), 0, strength)
    outside = violation(loss.threshold, gradient)
    return jnp.where(outside > strength, outside, predicted)
