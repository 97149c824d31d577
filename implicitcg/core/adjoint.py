"""Adjoints: how the linear system `B dz = rhs` of the implicit function theorem is solved.

An adjoint is chosen by the kind of answer one wants. All of them solve forward and transposed systems, so that forward
and reverse mode agree; none returns a number for a system that it could not solve.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_solve

from ..base import Status, error_if
from ..linear import Coordinates, factorise
from ..linear.solves import as_matrix, conjugate_gradient, gmres, lu, minimum_norm
from .problem import Linearisation


class AbstractAdjoint(eqx.Module):
    """Solves `B dz = rhs` for a linearisation, differentiably in `rhs` and in `B`."""

    @abc.abstractmethod
    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """`B^{-1} rhs`; where that cannot be had, an error if `throw`, NaN otherwise."""


class Automatic(AbstractAdjoint):
    """`Direct` where the face is small or a factor is at hand, `GMRES` on spaces above `dense_limit`."""

    dense_limit: int = eqx.field(static=True, default=2000)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        dimension = ravel_pytree(rhs)[0].shape[0]
        structured = linearisation.block is not None or linearisation.factor is not None
        if structured or dimension <= self.dense_limit:
            return Direct().solve(linearisation, rhs, throw=throw)
        return GMRES().solve(linearisation, rhs, throw=throw)


class Direct(AbstractAdjoint):
    """A factorisation: the solver's own where it left one, else Cholesky on the face, else a dense LU."""

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        if linearisation.factor is not None:
            return _solve_with_factor(linearisation, rhs, throw)
        return _solve_with_lu(linearisation, rhs, throw)


class ConjugateGradient(AbstractAdjoint):
    """Conjugate gradients on the face, matrix-free, for symmetric systems.

    `tolerance` bounds the relative residual; `None` takes `eps^{3/4}` of the dtype (1.8e-12 in float64).
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=10_000)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        if not linearisation.symmetric:
            raise ValueError(
                "ConjugateGradient needs a symmetric linearisation, and this problem's is not. Use "
                "`icg.adjoints.GMRES()` or `icg.adjoints.Direct()`."
            )

        def solve(matvec: Any, b: Array) -> Array:
            x, ok, _ = conjugate_gradient(matvec, b, _tolerance(self.tolerance, b), self.max_steps)
            return _judged(x, ok, Status.adjoint_failed, throw)

        return _linear_solve(linearisation, rhs, solve, solve)


class GMRES(AbstractAdjoint):
    """Restarted GMRES, matrix-free, for general systems; `tolerance` as in `ConjugateGradient`."""

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=1_000)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""

        def solve(matvec: Any, b: Array) -> Array:
            x, ok = gmres(matvec, b, _tolerance(self.tolerance, b), self.max_steps)
            return _judged(x, ok, Status.adjoint_failed, throw)

        return _linear_solve(linearisation, rhs, solve, solve)


class MinimumNorm(AbstractAdjoint):
    """The least-squares answer of least norm, also where the system is singular. It is never certified.

    Where `B` is invertible it agrees with the other adjoints; elsewhere the theorem does not apply, and the number may
    be unrelated to any derivative of the solution.
    """

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        flat, unravel = ravel_pytree(rhs)

        def matvec(v: Array) -> Array:
            return ravel_pytree(linearisation.apply(unravel(v)))[0]

        matrix = as_matrix(matvec, flat.shape[0], flat.dtype)
        return unravel(minimum_norm(matrix, flat))


def _tolerance(tolerance: float | None, b: Array) -> float:
    return float(jnp.finfo(b.dtype).eps) ** 0.75 if tolerance is None else tolerance


def _judged(x: Array, ok: Array, status: Status, throw: bool) -> Array:
    return error_if(x, ~ok, status) if throw else jnp.where(ok, x, jnp.nan)


def _linear_solve(linearisation: Linearisation, rhs: Any, solve: Any, transpose_solve: Any) -> Any:
    """`lax.custom_linear_solve` on flat vectors: transposable, and differentiable in the operator too."""
    flat, unravel = ravel_pytree(rhs)

    def matvec(v: Array) -> Array:
        return ravel_pytree(linearisation.apply(unravel(v)))[0]

    return unravel(lax.custom_linear_solve(matvec, flat, solve, transpose_solve, symmetric=linearisation.symmetric))


def _solve_with_factor(linearisation: Linearisation, rhs: Any, throw: bool) -> Any:
    """Solve on the face of `linearisation` with the solver's factor; factor anew for another selection.

    Off the face `B` is the identity, so those entries are read off first and their effect moved to the right side.
    """
    factor, face = linearisation.factor, linearisation.face
    assert factor is not None and isinstance(face, Coordinates) and linearisation.block is not None
    block = linearisation.block
    mask = lax.stop_gradient(face.mask)
    healthy = factor.healthy
    if throw:  # judged here, where primal values are computed, not in the tangent solve
        mask = error_if(mask, ~healthy, Status.singular)

    def reuse(b: Array) -> Array:  # a function of its own: bound methods of modules with arrays do not hash
        return factor.solve(b)

    def fresh(b: Array) -> Array:
        branches = [
            lambda b, c=c: factorise(block, mask, jnp.zeros_like(mask), c).solve(b) for c in linearisation.capacities
        ]
        return lax.switch(factor.bucket, branches, b) if len(branches) > 1 else branches[0](b)

    def solve(matvec: Any, b: Array) -> Array:
        pinned = jnp.where(mask, 0, b)
        coupled = jnp.where(mask, b - matvec(pinned), 0)
        applies = linearisation.factor_applies
        x = reuse(coupled) if applies is None else lax.cond(applies, reuse, fresh, coupled)
        return jnp.where(healthy, x + pinned, jnp.nan)

    return _linear_solve(linearisation, rhs, solve, solve)


def _solve_with_lu(linearisation: Linearisation, rhs: Any, throw: bool) -> Any:
    flat, unravel = ravel_pytree(rhs)

    def matvec(v: Array) -> Array:
        return ravel_pytree(linearisation.apply(unravel(v)))[0]

    factors, ok = lu(lax.stop_gradient(as_matrix(matvec, flat.shape[0], flat.dtype)))
    if throw:
        factors = error_if(factors, ~ok, Status.singular)

    def solver(trans: int) -> Any:
        return lambda _matvec, b: jnp.where(ok, lu_solve(factors, b, trans=trans), jnp.nan)

    return _linear_solve(linearisation, rhs, solver(0), solver(1))
