"""The LASSO solver: semismooth Newton on working sets, exact on the active set, with a certified duality gap."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ...base import Status, while_loop
from ...core import AbstractSolver, Found
from ...linear import AbstractDesign
from ...penalties import AbstractSmooth, LeastSquares
from .quadratic_l1 import QuadraticL1, solve_quadratic_l1
from .quadratic_loss import QuadraticLoss, gap_tolerance, needed_strength, relative_gap, violation

SHRINK = 0.5  # the penalties fall by this factor from one working set to the next, down to their values
HASTY = 3  # rounds of the small solver on a working set that will change
FEW = 1024  # features in slots and factors where `X` is sparse and a support may outgrow any
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

    def run(self, problem: Any, init: Float[Array, " p"]) -> Found:
        """See `AbstractSolver.run`."""
        loss = require_quadratic(self, problem)
        tolerance = gap_tolerance(self.tolerance, init.dtype)
        gradient = loss.gradient(init)
        count = jnp.zeros((), jnp.int32)
        gap = relative_gap(loss, init, gradient, loss.value(init))
        strength = jnp.maximum(needed_strength(loss.threshold, gradient), 1)
        state = _State(init, strength, gap, count, count, jnp.asarray(True))
        sizes = working_set_sizes(loss.smooth, self.capacity)
        for size in sizes:
            room = size if size == sizes[-1] else size // 2
            state = self._stage(loss, tolerance, size, room, state)
        end = state.w, loss.gradient(state.w), loss.value(state.w), state.rounds
        return finish(problem, loss, tolerance, sizes[-1], *end)

    def _stage(self, loss: QuadraticLoss, tolerance: float, size: int, room: int, state: _State) -> _State:
        """Working sets of one static size, until the gap is reached or the support outgrows its `room`."""
        p = loss.threshold.shape[0]
        whole = size == p

        def crowded(w: Array) -> Bool[Array, ""]:
            return jnp.asarray(False) if size == p else jnp.sum(w != 0) > room

        def unfinished(state: _State) -> Bool[Array, ""]:
            return (state.gap > tolerance) & (state.steps < self.max_steps) & ~state.crowded

        def step(state: _State) -> _State:
            # with all features at hand one exact solve is cheapest; otherwise the way there decides the working sets
            strength = jnp.ones_like(state.gap) if whole else jnp.maximum(SHRINK * state.strength, 1)
            threshold = strength * loss.threshold
            index = working_set(loss, threshold, state.w, size)
            block = loss.hessian_block(state.w, index)
            inside = state.w[index]
            # the linear term that makes the small problem exact: what lies outside the set is held at its value
            outside = state.w.at[index].set(0)
            linear = -loss.gradient(outside)[index]
            small = QuadraticL1(block, linear, threshold[index], jnp.ones(size, bool))
            patience = self.max_rounds if whole else jnp.minimum(HASTY + state.steps // 5, self.max_rounds)
            inside, _, rounds = solve_quadratic_l1(small, inside, max_rounds=patience)
            w = outside.at[index].set(inside)
            gap = relative_gap(loss, w, loss.gradient(w), loss.value(w))
            return _State(w, strength, gap, state.steps + 1, state.rounds + rounds, crowded(w))

        return while_loop(unfinished, step, state._replace(crowded=crowded(state.w)))


def require_quadratic(solver: AbstractSolver, problem: Any) -> QuadraticLoss:
    """The quadratic loss of `problem`, or an error that says what `solver` solves."""
    solver.require(problem, "smooth", "penalty")
    if not QuadraticLoss.accepts(problem):
        raise TypeError(
            f"{type(solver).__name__} solves least squares with a weighted l1 penalty or an elastic net; this problem "
            f"is {type(problem.smooth).__name__} plus {type(problem.penalty).__name__}. "
            "Use icg.solvers.SemismoothNewton() or icg.solvers.ProximalGradient()."
        )
    return QuadraticLoss.of(problem)


def finish(
    problem: Any,
    loss: QuadraticLoss,
    tolerance: float,
    capacity: int,
    w: Float[Array, " p"],
    gradient: Float[Array, " p"],
    value: Float[Array, ""],
    iterations: Int[Array, ""],
    block: Callable[[Int[Array, " c"]], Float[Array, "c c"]] | None = None,
) -> Found:
    """One Newton step with the exact gradient on the face found, the factor for the derivative, and the verdict.

    The step is kept if it changes no sign and helps. `gradient` and `value` are those of `loss` at `w`, and `block`
    gives the Hessian on features free or on their threshold, where it is known already.
    """

    def defect(w: Array, gradient: Array) -> Array:
        return jnp.where(w != 0, gradient + loss.threshold * jnp.sign(w), 0)

    before = defect(w, gradient)
    memory, step = problem.factorise(w, gradient - loss.shrunk(w), block, before)
    polished = w - step
    after = loss.gradient(polished)
    better = jnp.all(jnp.sign(polished) == jnp.sign(w)) & memory.healthy
    better = better & (jnp.max(jnp.abs(defect(polished, after))) <= jnp.max(jnp.abs(before)))
    w, gradient = jnp.where(better, polished, w), jnp.where(better, after, gradient)
    value = jnp.where(better, loss.value(polished), value)

    gap = relative_gap(loss, w, gradient, value)
    status = Status.where(gap <= tolerance, Status.converged, Status.not_converged)
    if capacity < w.shape[0]:
        crowded = (status != Status.converged) & (jnp.sum(w != 0) >= capacity // 2)
        status = Status.where(crowded, Status.over_capacity, status)
    unpinned = jnp.any(loss.threshold == 0) & ~memory.healthy
    status = Status.where(unpinned, Status.not_unique, status)
    return Found(w, status, iterations, memory, gap)


def most_independent(loss: QuadraticLoss) -> int:
    """A bound for the features in a support without dependent columns."""
    p, n = loss.threshold.shape[0], loss.smooth.X.shape[0]
    return p if loss.ridge is not None else min(n, p)


def room_for(capacity: int, p: int, dtype: Any) -> int:
    """A `capacity` given by the user, at most `p`, if it is one and the matrices of that size fit in memory."""
    if isinstance(capacity, (bool, np.bool_)):
        raise TypeError(f"capacity is {capacity}; it is the largest number of active features, a positive integer.")
    try:
        size = min(operator.index(capacity), p)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"capacity is {capacity!r}; it is the largest number of active features, a positive integer.")
    gib, memory = size**2 * jnp.dtype(dtype).itemsize / 2**30, _memory() / 2**30
    if gib > memory:
        raise ValueError(
            f"capacity={capacity} needs matrices of {gib:.0f} GiB, and this machine has {memory:.0f} GiB. Lower it, or "
            "use icg.solvers.ProximalGradient(), which makes none."
        )
    return size


def _memory() -> float:
    """The bytes of this machine; infinitely many where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return math.inf


def working_set_sizes(smooth: AbstractSmooth, capacity: int | None = None) -> tuple[int, ...]:
    """The static sizes of working set: all features when they are few, else 128, 512, ... up to the capacity."""
    p, dtype = smooth.dimension()
    capacity = None if capacity is None else room_for(capacity, p, dtype)
    if p <= SMALL:
        return (p,)
    n = smooth.X.shape[0] if isinstance(smooth, LeastSquares) else p
    largest = min(p, 4096, max(2 * n, 128)) if capacity is None else min(p, capacity)
    sizes = [size for size in (128, 512, 2048) if 2 * size <= largest]
    return (*sizes, largest)


def face_sizes(smooth: AbstractSmooth, rank: int) -> tuple[int, ...]:
    """The static sizes of face that a factor is compiled for: few, and none beyond the `rank` of the Hessian."""
    largest = min(working_set_sizes(smooth)[-1], rank)
    if isinstance(smooth, LeastSquares) and isinstance(smooth.X, AbstractDesign) and largest < rank:
        return FEW // 4, FEW  # products with such a matrix are cheaper than a large factor
    if largest <= 256:
        return (largest // 4, largest) if largest == smooth.dimension()[0] >= 128 else (largest,)
    if largest <= SMALL:
        return largest // 4, largest
    small = (largest // 16,) if largest >= 4 * SMALL else ()
    return (*small, largest // 4, 5 * largest // 8, largest)


def working_set(smooth: Any, threshold: Array, w: Array, size: int) -> Int[Array, " c"]:
    """The support, then the features by how nearly they violate `|grad_j| <= t_j`, in ascending order of index."""
    if size == w.shape[0]:
        return jnp.arange(size, dtype=jnp.int32)
    score = jnp.where(w != 0, jnp.inf, violation(threshold, smooth.gradient(w)))
    return lax.top_k(score, size)[1].astype(jnp.int32)
