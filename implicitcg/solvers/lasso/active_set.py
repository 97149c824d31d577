"""The default solver of the LASSO and the elastic net: a homotopy on slots, from knot to knot, with a certified gap."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ...base import while_loop
from ...core import AbstractSolver, Found
from ...equations import Composite
from ...equations.forms import lasso_form
from ...penalties import AbstractShrinkage, LeastSquares
from .last_step import Known, finish
from .momentum import Iterate, accelerated
from .quadratic_loss import QuadraticLoss, gap_tolerance, relative_gap, violation
from .slot_sizes import Sizes, most_independent, slot_sizes
from .slots import Slots, open_slots
from .stretch import Standing, grown, walked
from .thresholds import THRESHOLDS


class _Stage(NamedTuple):
    slots: Slots
    standing: Standing
    crowded: Bool[Array, ""]
    lacking: Bool[Array, ""]
    spare: Int[Array, ""]


class ActiveSet(AbstractSolver[Composite[LeastSquares, AbstractShrinkage]]):
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

    def refuses(self, problem: Composite) -> str | None:
        """Anything but a least-squares loss plus a weighted l1 norm or an elastic net."""
        if lasso_form(problem) is not None:
            return None
        return (
            "it solves least squares with a weighted l1 penalty or an elastic net; this problem is "
            f"{type(problem.smooth).__name__} plus {type(problem.penalty).__name__}"
        )

    def run(self, problem: Composite[LeastSquares, AbstractShrinkage], init: Float[Array, " p"]) -> Found:
        loss = QuadraticLoss.of(problem)
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

        def attempt(at: tuple[Standing, Known, Int[Array, ""]]) -> tuple[Standing, Known, Int[Array, ""]]:
            standing = Standing.at(loss, jnp.where(at[2] > 0, 0, init))
            if single:
                return *_stage(loss, stages[0], tolerance, self.max_steps, standing), at[2] + 1
            for sizes in stages:
                standing = _advance(loss, sizes, tolerance, self.max_steps, standing)
            return standing, at[1], at[2] + 1

        nowhere = Standing.nowhere(init), Known.nothing(stages[0].buffer if single else 0, init)
        standing, known, _ = while_loop(
            lambda at: (at[2] == 0) | ((at[0].gap > tolerance) & (at[2] < attempts)),
            attempt,
            (*nowhere, jnp.zeros((), jnp.int32)),
        )

        def block(index: Int[Array, " k"]) -> Float[Array, "k k"]:
            return known.block(loss, index)

        end = standing.w, standing.gradient, standing.value, standing.knots
        if beyond:
            start = Iterate(*end[:3], standing.gap, jnp.zeros((), jnp.int32))
            last = accelerated(loss, start, tolerance, THRESHOLDS.patience * self.max_steps)
            end = *last[:3], standing.knots + last.steps
        limit = len(init) if beyond else stages[-1].limit
        return finish(problem, loss, tolerance, limit, *end, block if single else None)


def _advance(loss: QuadraticLoss, sizes: Sizes, tolerance: float, max_steps: int, standing: Standing) -> Standing:
    """On towards the solution with one of several sizes of slots, if it has not been reached."""
    # a loop of at most one turn: unlike `lax.cond` it costs nothing in a batch that does not need it
    return while_loop(
        lambda at: at[1] & (at[0].gap > tolerance),
        lambda at: (_stage(loss, sizes, tolerance, max_steps, at[0])[0], jnp.zeros_like(at[1])),
        (standing, jnp.asarray(True)),
    )[0]


def _stage(
    loss: QuadraticLoss, sizes: Sizes, tolerance: float, max_steps: int, standing: Standing
) -> tuple[Standing, Known]:
    """On towards the solution with one size of slots.

    It ends when the gap is reached and every feature on its threshold has a slot, when the active set outgrows its
    room, or after `max_steps`.
    """

    # The gap may be reached while a feature on its threshold has no slot. It sits on a kink, so the factor at the end,
    # and an element of the derivative in which it is free, ask for its products with the active features: it gets a
    # slot first. `spare` turns are allowed for that, in which every slot there is could have been filled; features that
    # are still without one then are more than the slots can hold, and asking again would never end.
    def unfinished(at: _Stage) -> Bool[Array, ""]:
        far = (at.standing.gap > tolerance) | (at.lacking & (at.spare > 0))
        return far & (at.standing.steps < max_steps) & ~at.crowded

    def step(at: _Stage) -> _Stage:
        there = at.standing.gap <= tolerance
        slots, strength = grown(loss, sizes, jnp.ones_like(at.standing.strength), at.standing, at.slots)
        slots, standing, _ = walked(loss, sizes, strength, at.standing, slots)
        gap = relative_gap(loss, standing.w, standing.gradient, standing.value)
        return stage(slots, standing._replace(gap=gap), at.spare - there.astype(jnp.int32))

    def stage(slots: Slots, standing: Standing, spare: Array) -> _Stage:
        tied = (violation(loss.threshold, standing.gradient) > 1 - THRESHOLDS.near) & (loss.threshold > 0)
        slotless = jnp.ones_like(tied).at[slots.feature].set(False, mode="drop")
        crowded = jnp.sum(standing.w != 0) > sizes.crowd
        return _Stage(slots, standing, crowded, jnp.any(tied & slotless), spare)

    start = stage(
        open_slots(loss, sizes, standing.w), standing, jnp.full((), sizes.limit // sizes.chunk + 2, jnp.int32)
    )
    end = while_loop(unfinished, step, start)
    return end.standing, Known(end.slots.feature, end.slots.gram)
