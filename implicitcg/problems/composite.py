"""Composite problems: a smooth loss plus a penalty, `min_z f(z) + g(z)`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int, PyTree

from ..core import AbstractProblem, AbstractSolver, Certificate, Linearisation, judge_positive_definite
from ..linear import BucketedFactor, Coordinates, bucketed_factorise
from ..nonsmooth import choose
from ..penalties import AbstractPenalty, AbstractSeparable, AbstractSmooth, Branches
from ..solvers import ProximalGradient, WorkingSetNewton, working_set_sizes


class Composite(AbstractProblem[Array]):
    """`min_z f(z) + g(z)`, as the equation `F(z) = z - prox_{step g}(z - step grad f(z)) = 0`.

    `step_j = 1 / L_j` with `L_j` the curvature of `f` along coordinate `j`, so `F` and all distances to kinks are in
    the units of `z_j`.
    """

    smooth: AbstractSmooth
    penalty: AbstractPenalty

    def step(self) -> Float[Array, " p"]:
        """The steps of the proximal map; constants, since the root does not depend on them."""
        return lax.stop_gradient(1 / self.smooth.curvature())

    def forward(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`u = z - step grad f(z)`, the argument of the proximal map."""
        return z - self.step() * self.smooth.gradient(z)

    def residual(self, z: Float[Array, " p"]) -> Float[Array, " p"]:
        """`z - prox(u)`."""
        return z - self.penalty.prox(self.forward(z), self.step())

    def objective(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`f(z) + g(z)`."""
        return self.smooth.value(z) + self.penalty.value(z)

    def initial(self) -> Float[Array, " p"]:
        """Zeros."""
        p, dtype = self.smooth.dimension()
        return jnp.zeros(p, dtype)

    def invalid(self) -> Array:
        """Whether the penalty's parameters are outside its domain."""
        return self.penalty.invalid()

    def default_solver(self) -> AbstractSolver:
        """Semismooth Newton on working sets for least squares with l1, proximal gradient otherwise."""
        return WorkingSetNewton() if WorkingSetNewton.accepts(self) else ProximalGradient()

    def present(self, z: Float[Array, " p"]) -> tuple[PyTree, PyTree | None]:
        """The loss knows how its unknown reads: coefficients, perhaps with an intercept, and the dual."""
        return self.smooth.present(z)

    def branches(self, z: Float[Array, " p"]) -> Branches:
        """The branch of every coordinate at `z`, and its distance to the kink (separable penalties only)."""
        return _separable(self.penalty).branches(self.forward(z), self.step())

    def factorise(self, z: Float[Array, " p"]) -> BucketedFactor:
        """The Hessian factored on the free coordinates, then on those that sit on their kink."""
        u, step = self.forward(z), self.step()
        branches = _separable(self.penalty).branches(u, step)
        free = branches.free > 0
        return bucketed_factorise(
            lambda index: self.face_block(z, u, index), free, branches.on_kink() & ~free, self.capacities(), z.dtype
        )

    def face_block(self, z: Float[Array, " p"], u: Float[Array, " p"], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """The Hessian of `f + g` on the free branch, restricted to a few coordinates."""
        return self.smooth.hessian_block(z, index) + jnp.diag(_separable(self.penalty).curvature(z, u)[index])

    def capacities(self) -> tuple[int, ...]:
        """The static sizes of face that a factorisation is compiled for."""
        return working_set_sizes(self.smooth)

    def linearise(self, z: Float[Array, " p"], memory: Any = None) -> Linearisation:
        """The element of the penalty's tie rule, on the face of the free coordinates.

        Row `j` of the equation is `z_j - anchor_j` where the weight `q_j` of the free branch is 0, and otherwise
        `d_j f(z) + g_j'(z_j) + (1 - q_j) / (q_j step_j) (z_j - anchor_j)`: the prox equation divided by `q_j step_j`,
        which makes its block on the face symmetric. What the pinned rows add to the others is moved to the right side.
        """
        if not isinstance(self.penalty, AbstractSeparable):
            return super().linearise(z, memory)
        penalty, smooth = self.penalty, self.smooth
        here = _frozen(self)
        at = lax.stop_gradient(z)
        step, u = here.step(), here.forward(at)
        branches = _separable(here.penalty).branches(u, step)
        # on the kink to rounding is on the kink, for the tie rule and for those who ask which branches there are
        distance = jnp.where(branches.on_kink(), 0, branches.distance)
        weight = choose(branches.free, distance, name=type(penalty).__name__)
        mask = weight > 0
        safe = jnp.where(mask, weight, 1)
        pull = jnp.where(mask, (1 - safe) / (safe * step), 0)

        def apply(dz: Array) -> Array:
            free = jnp.where(mask, dz, 0)
            bent = smooth.hessian_product(z, free) + (penalty.curvature(z, u) + pull) * free
            return jnp.where(mask, bent, dz)

        def push(tangent: Any) -> Array:
            parameters, rest = eqx.partition(self, eqx.is_inexact_array)
            moves = jax.tree.map(lambda p, t: None if t is None else p, parameters, tangent, is_leaf=_is_none)
            stays = jax.tree.map(lambda p, t: p if t is None else None, parameters, tangent, is_leaf=_is_none)

            def equation(moves: Any) -> tuple[Array, Array]:
                problem = eqx.combine(moves, stays, rest)
                anchor = _separable(problem.penalty).anchor(u)
                return problem.smooth.gradient(z) + problem.penalty.slope(z, u) - pull * anchor, -anchor

            _, (moving, pinned) = jax.jvp(equation, (moves,), (tangent,))
            if penalty.anchor_moves:
                moving = moving - smooth.hessian_product(z, jnp.where(mask, 0, pinned))
            return jnp.where(mask, moving, pinned)

        factor = here.factorise(at) if memory is None else memory
        return Linearisation(
            apply=apply,
            push=push,
            face=Coordinates(mask),
            margin=jnp.min(branches.distance, initial=jnp.inf),
            symmetric=True,
            factor=lax.stop_gradient(factor),
            factor_applies=jnp.all(weight == branches.free),
            block=lambda index: here.face_block(at, u, index) + jnp.diag(pull[index]),
            capacities=here.capacities(),
        )

    def certificate(self, z: Array, residual: float, tolerance: float | None) -> Certificate:
        """Exact on the equicorrelation set: every selection is a principal block of one Hessian.

        With `E` the coordinates that are free or sit on their kink, `det B_S = det K_SS` up to a positive factor for
        every selection `S`, and fractional weights only add a nonnegative diagonal. So for a convex problem every
        element is invertible exactly when `K_EE` is positive definite.
        """
        if not isinstance(self.penalty, AbstractSeparable):
            return super().certificate(z, residual, tolerance)
        branches, curvature = _facts(self, jnp.asarray(z))
        distance, free = np.asarray(branches.distance), np.asarray(branches.free) > 0

        def judged(active: np.ndarray) -> tuple[np.ndarray, bool, float]:
            index = np.flatnonzero(free | active)
            padded = np.zeros(1 << max(len(index) - 1, 0).bit_length(), np.int32)  # few shapes, so few compilations
            padded[: len(index)] = index
            block = np.asarray(_block(self, jnp.asarray(z), jnp.asarray(padded)))[: len(index), : len(index)]
            return index, *judge_positive_definite(block)

        active = np.asarray(branches.on_kink(0.0 if tolerance is None else tolerance))
        index, definite, smallest = judged(active)
        if tolerance is None and definite and len(index):
            # how far the solution may be from the true one: the residual through the inverse of B on the face
            bound = residual * (1 + float(np.max(np.asarray(curvature)[index])) / smallest)
            wider = np.asarray(branches.on_kink(bound))
            if np.any(wider & ~active):
                active = wider
                index, definite, smallest = judged(active)
        kinks = int(active.sum())
        margin = float(np.min(distance, initial=np.inf))
        size = len(index)
        if definite:
            reason = (
                "no coordinate is free or on a kink: the solution does not move"
                if size == 0
                else f"the Hessian on the {size} free or tied coordinates (equicorrelation set) is positive definite"
            )
            return Certificate("certified", kinks, margin, smallest, 2**kinks, reason)
        reason = (
            f"the {size} free or tied coordinates (equicorrelation set) are linearly dependent in the Hessian, as "
            "with duplicated columns or more active features than samples; derivatives are not determined"
        )
        return Certificate("singular", kinks, margin, max(smallest, 0.0), 2**kinks, reason)


@eqx.filter_jit
def _facts(problem: Composite, z: Array) -> tuple[Branches, Array]:
    """What a certificate asks of a solution: its branches and the curvatures."""
    return problem.branches(z), problem.smooth.curvature()


@eqx.filter_jit
def _block(problem: Composite, z: Array, index: Array) -> Array:
    return problem.face_block(z, problem.forward(z), index)


def _separable(penalty: AbstractPenalty) -> AbstractSeparable:
    if not isinstance(penalty, AbstractSeparable):
        raise TypeError(f"{type(penalty).__name__} is not separable: it has no branches by coordinate.")
    return penalty


def _frozen(problem: Composite) -> Composite:
    return eqx.combine(lax.stop_gradient(eqx.filter(problem, eqx.is_array)), problem)


def _is_none(leaf: Any) -> bool:
    return leaf is None
