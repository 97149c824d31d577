"""The LASSO solver: semismooth Newton on working sets, exact on the active set, with a certified duality gap."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ..base import Status, while_loop
from ..core import AbstractSolver, Found
from ..linear import BucketedFactor
from ..penalties import L1, AbstractSmooth, LeastSquares
from .quadratic_l1 import QuadraticL1, solve_quadratic_l1

SHRINK = 0.5  # the penalties fall by this factor from one working set to the next, down to their values
HASTY = 3  # rounds of the small solver on a working set that will change
SMALL = 512  # up to this many features the whole Gram matrix is the working set


class _State(NamedTuple):
    w: Float[Array, " p"]
    strength: Float[Array, ""]
    gap: Float[Array, ""]
    steps: Int[Array, ""]
    rounds: Int[Array, ""]
    crowded: Bool[Array, ""]


class WorkingSetNewton(AbstractSolver):
    """Weighted LASSO by semismooth Newton on growing working sets.

    A working set holds the support and the features that violate optimality most; a few rounds of `quadratic_l1`
    improve the small problem on it; the full gradient then names the next set. On the way the penalties fall by halves
    from where the start is optimal to their values, so that each set is nearly right; a warm start skips most of that
    way. Working sets have static sizes, in fours; one compiled program holds them all and moves on when a support
    outgrows its size. The end is one Newton step with the exact gradient, whose Cholesky factor is handed to the
    derivative.

    Args:
        tolerance: the duality gap to reach, relative to the objective at zero; `None` means `1e-10` in float64 and
            `50 eps` (6e-6) in float32.
        max_steps: working sets tried, over all sizes.
        max_rounds: rounds of the small solver per working set.
        capacity: the largest working set; `None` means `min(p, 2 n)`, at most 4096. A support that needs more than half
            of it and does not converge is reported as `over_capacity`.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=300)
    max_rounds: int = eqx.field(static=True, default=200)
    capacity: int | None = eqx.field(static=True, default=None)

    @staticmethod
    def accepts(problem: Any) -> bool:
        """Whether `problem` is a least-squares loss plus a weighted l1 norm."""
        return isinstance(problem.smooth, LeastSquares) and isinstance(problem.penalty, L1)

    def run(self, problem: Any, init: Float[Array, " p"]) -> Found:
        """See `AbstractSolver.run`."""
        self.require(problem, "smooth", "penalty")
        if not self.accepts(problem):
            raise TypeError(
                "WorkingSetNewton solves least squares with a weighted l1 penalty; this problem is "
                f"{type(problem.smooth).__name__} plus {type(problem.penalty).__name__}. "
                "Use icg.solvers.ProximalGradient()."
            )
        smooth: LeastSquares = problem.smooth
        p, dtype = smooth.dimension()
        threshold = jnp.broadcast_to(problem.penalty.alpha, (p,)).astype(dtype)
        eps = float(jnp.finfo(dtype).eps)
        tolerance = max(1e-10, 50 * eps) if self.tolerance is None else self.tolerance
        scale = GapScale.of(smooth, threshold)
        gradient = smooth.gradient(init)
        count = jnp.zeros((), jnp.int32)
        gap = relative_gap(smooth, scale, init, gradient)
        state = _State(init, _needed_strength(threshold, gradient), gap, count, count, jnp.asarray(True))
        sizes = working_set_sizes(smooth, self.capacity)
        for size in sizes:
            room = size if size == sizes[-1] else size // 2
            state = self._stage(smooth, scale, tolerance, size, room, state)
        w, memory = _finish(problem, threshold, state.w)
        gap = relative_gap(smooth, scale, w, smooth.gradient(w))
        status = Status.where(gap <= tolerance, Status.converged, Status.not_converged)
        if sizes[-1] < p:
            crowded = (status != Status.converged) & (jnp.sum(w != 0) > sizes[-1] // 2)
            status = Status.where(crowded, Status.over_capacity, status)
        unpinned = jnp.any(threshold == 0) & ~memory.healthy
        status = Status.where(unpinned, Status.not_unique, status)
        return Found(w, status, state.rounds, memory, gap)

    def _stage(
        self,
        smooth: LeastSquares,
        scale: GapScale,
        tolerance: float,
        size: int,
        room: int,
        state: _State,
    ) -> _State:
        """Working sets of one static size, until the gap is reached or the support outgrows its `room`."""
        p = scale.threshold.shape[0]
        whole = size == p

        def crowded(w: Array) -> Bool[Array, ""]:
            return jnp.asarray(False) if size == p else jnp.sum(w != 0) > room

        def unfinished(state: _State) -> Bool[Array, ""]:
            return (state.gap > tolerance) & (state.steps < self.max_steps) & ~state.crowded

        def step(state: _State) -> _State:
            # with all features at hand one exact solve is cheapest; otherwise the way there decides the working sets
            strength = jnp.ones_like(state.gap) if whole else jnp.maximum(SHRINK * state.strength, 1)
            threshold = strength * scale.threshold
            index = working_set(smooth, threshold, state.w, size)
            block = smooth.hessian_block(state.w, index)
            inside = state.w[index]
            # the linear term that makes the small problem exact: what lies outside the set is held at its value
            outside = state.w.at[index].set(0)
            linear = -smooth.gradient(outside)[index]
            small = QuadraticL1(block, linear, threshold[index], jnp.ones(size, bool))
            patience = self.max_rounds if whole else jnp.minimum(HASTY + state.steps // 5, self.max_rounds)
            inside, _, rounds = solve_quadratic_l1(small, inside, max_rounds=patience)
            w = outside.at[index].set(inside)
            gap = relative_gap(smooth, scale, w, smooth.gradient(w))
            return _State(w, strength, gap, state.steps + 1, state.rounds + rounds, crowded(w))

        return while_loop(unfinished, step, state._replace(crowded=crowded(state.w)))


def _needed_strength(threshold: Array, gradient: Array) -> Float[Array, ""]:
    """By how much the penalties would have to grow for the features outside the support to stay outside."""
    ratio = jnp.abs(gradient) / jnp.where(threshold > 0, threshold, jnp.inf)
    return jnp.maximum(jnp.max(ratio), 1)


def working_set_sizes(smooth: AbstractSmooth, capacity: int | None = None) -> tuple[int, ...]:
    """The static sizes of working set: all features when they are few, else 128, 512, ... up to the capacity."""
    p = smooth.dimension()[0]
    if p <= SMALL:
        return (p,)
    n = smooth.X.shape[0] if isinstance(smooth, LeastSquares) else p
    largest = min(p, 4096, max(2 * n, 128)) if capacity is None else min(p, capacity)
    sizes = [size for size in (128, 512, 2048) if 2 * size <= largest]
    return (*sizes, largest)


def working_set(smooth: AbstractSmooth, threshold: Array, w: Array, size: int) -> Int[Array, " c"]:
    """The support, then the features by how nearly they violate `|grad_j| <= t_j`, in ascending order of index."""
    if size == w.shape[0]:
        return jnp.arange(size, dtype=jnp.int32)
    gradient = jnp.abs(smooth.gradient(w))
    score = gradient / jnp.where(threshold > 0, threshold, jnp.finfo(w.dtype).tiny)
    score = jnp.where(w != 0, jnp.inf, score)
    return lax.top_k(score, size)[1].astype(jnp.int32)


class GapScale(NamedTuple):
    """What a duality gap is measured against, computed once a solve."""

    threshold: Float[Array, " p"]
    curvature: Float[Array, " p"]
    zero_value: Float[Array, ""]

    @classmethod
    def of(cls, smooth: LeastSquares, threshold: Float[Array, " p"]) -> GapScale:
        """The scale of the problem with these thresholds."""
        return cls(threshold, smooth.curvature(), smooth.value(jnp.zeros_like(threshold)))


def relative_gap(
    smooth: LeastSquares, scale: GapScale, w: Float[Array, " p"], gradient: Float[Array, " p"]
) -> Float[Array, ""]:
    """The duality gap at `w`, relative to the objective at zero, written without cancellation.

    The residual scaled by `tau = min_j t_j / max(|g_j|, t_j)` is dual feasible, and the gap is
    `(1 - tau)^2 ||r||^2 / (2n) + sum_j (t_j |w_j| + tau w_j g_j)`. A gradient exceeds its threshold only by what goes
    beyond the rounding of its own evaluation, which matters when `t_j` is of that size. An unpenalised coordinate adds
    what moving it alone would gain, `g_j^2 / (2 L_j)`.
    """
    threshold, curvature, zero_value = scale
    size = jnp.sqrt(curvature)
    rounding = 4 * jnp.finfo(w.dtype).eps * size * (jnp.sqrt(2 * zero_value) + jnp.sum(size * jnp.abs(w)))
    penalised = threshold > 0
    excess = jnp.maximum(jnp.abs(gradient) - threshold - rounding, 0)
    tau = jnp.min(jnp.where(penalised, threshold / jnp.maximum(threshold + excess, _tiny(w)), 1))
    slack = jnp.where(penalised, threshold * jnp.abs(w) + tau * w * gradient, 0)
    free = jnp.where(penalised, 0, jnp.square(gradient) / (2 * curvature))
    gap = jnp.square(1 - tau) * smooth.value(w) + jnp.sum(slack) + jnp.sum(free)
    return jnp.abs(gap) / jnp.maximum(zero_value, _tiny(w))


def _finish(problem: Any, threshold: Array, w: Array) -> tuple[Array, BucketedFactor]:
    """One Newton step with the exact gradient on the face found, kept if it changes no sign and helps."""
    smooth = problem.smooth
    memory = problem.factorise(w)

    def defect(w: Array) -> Array:
        residual = smooth.gradient(w) + threshold * jnp.sign(w)
        return jnp.where(w != 0, residual, 0)

    before = defect(w)
    polished = w - memory.solve(before)
    better = jnp.all(jnp.sign(polished) == jnp.sign(w)) & memory.healthy
    better = better & (jnp.max(jnp.abs(defect(polished))) <= jnp.max(jnp.abs(before)))
    return jnp.where(better, polished, w), memory


def _tiny(w: Array) -> float:
    return float(jnp.finfo(w.dtype).tiny)
