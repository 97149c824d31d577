"""Adjoints: how the linear system `B dz = rhs` of the implicit function theorem is solved.

An adjoint is chosen by the kind of answer one wants. All of them solve forward and transposed systems, so that forward
and reverse mode agree; none returns a number for a system that it could not solve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_solve

from ..base import Status, error_if, only_where
from ..core import AbstractAdjoint, AbstractInverse, Linearisation
from ..linear import Coordinates, factorise
from ..linear.krylov import gmres
from ..linear.solves import as_matrix, conjugate_gradient, lu, minimum_norm

FEW = 128  # unknowns up to which another selection than the solver's is factorised densely, also in a batch


class Direct(AbstractAdjoint):
    """A factorisation: the solver's own where it left one, else Cholesky on the face, else a dense LU."""

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        if linearisation.inverse is not None:
            return solve_with_inverse(linearisation, linearisation.inverse, rhs, throw)
        if linearisation.factor is not None:
            return solve_with_factor(linearisation, rhs, throw, None)
        return _solve_with_lu(linearisation, rhs, throw)


class ConjugateGradient(AbstractAdjoint):
    """Conjugate gradients on the face, matrix-free, for symmetric systems, scaled by the diagonal where it is known.

    A small residual does not prove that the system is regular: `icg.certify` does.

    Args:
        tolerance: bounds the relative residual; `None` takes `eps^{3/4}` of the dtype (1.8e-12 in float64). Above ten
            times that the derivative is refused.
        max_steps: products with the Hessian at the most.
        report: called with the relative residual `||B x - b|| / ||b||` and the steps of every system solved, also from
            compiled programs.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> adjoint = icg.adjoints.ConjugateGradient(report=lambda residual, steps: print(int(steps), "steps"))
        >>> X, y = jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([2.0, 1.0])
        >>> jax.grad(lambda a: icg.solve(icg.lasso(X, y, a), adjoint=adjoint).value.sum())(0.1)
        1 steps
        Array(-2.5, dtype=float32, weak_type=True)
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=10_000)
    report: Callable[[Any, Any], None] | None = eqx.field(static=True, default=None)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        if not linearisation.symmetric:
            raise ValueError(
                "ConjugateGradient needs a symmetric linearisation, and this problem's is not. Use "
                "`icg.adjoints.GMRES()` or `icg.adjoints.Direct()`."
            )

        def solve(matvec: Any, b: Array) -> Array:
            return judged(*self.iterate(matvec, b, linearisation.diagonal), Status.adjoint_failed, throw)

        return linear_solve(linearisation, rhs, solve, solve)

    def iterate(self, matvec: Any, b: Array, diagonal: Array | None) -> tuple[Array, Array]:
        """The solution and whether its residual is small enough."""
        found = conjugate_gradient(matvec, b, relative_tolerance(self.tolerance, b), self.max_steps, diagonal)
        if self.report is not None:
            jax.debug.callback(self.report, found.residual, found.steps)
        return found.x, found.ok


class GMRES(AbstractAdjoint):
    """GMRES over the last `memory` directions, matrix-free, for general systems; the rest as in `ConjugateGradient`."""

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=1_000)
    memory: int = eqx.field(static=True, default=50)
    report: Callable[[Any, Any], None] | None = eqx.field(static=True, default=None)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""

        def solve(matvec: Any, b: Array) -> Array:
            return judged(*self.iterate(matvec, b), Status.adjoint_failed, throw)

        return linear_solve(linearisation, rhs, solve, solve)

    def iterate(self, matvec: Any, b: Array) -> tuple[Array, Array]:
        """The solution and whether its residual is small enough."""
        found = gmres(matvec, b, relative_tolerance(self.tolerance, b), self.max_steps, self.memory)
        if self.report is not None:
            jax.debug.callback(self.report, found.residual, found.steps)
        return found.x, found.ok


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


def relative_tolerance(tolerance: float | None, b: Array) -> float:
    """The tolerance, `eps^{3/4}` of the dtype for `None`."""
    return float(jnp.finfo(b.dtype).eps) ** 0.75 if tolerance is None else tolerance


def judged(x: Array, ok: Array, status: Status, throw: bool) -> Array:
    """`x`; where it is not `ok` an error if `throw`, else NaN."""
    return error_if(x, ~ok, status) if throw else jnp.where(ok, x, jnp.nan)


def linear_solve(linearisation: Linearisation, rhs: Any, solve: Any, transpose_solve: Any) -> Any:
    """`lax.custom_linear_solve` on flat vectors: transposable, and differentiable in the operator too."""
    flat, unravel = ravel_pytree(rhs)

    def matvec(v: Array) -> Array:
        return ravel_pytree(linearisation.apply(unravel(v)))[0]

    return unravel(lax.custom_linear_solve(matvec, flat, solve, transpose_solve, symmetric=linearisation.symmetric))


def solve_with_factor(linearisation: Linearisation, rhs: Any, throw: bool, otherwise: ConjugateGradient | None) -> Any:
    """Solve on the face of `linearisation` with the solver's factor; factor anew for another selection.

    Off the face `B` is the identity, so those entries are read off first and their effect moved to the right side.
    A face that the factor has no room for is solved by `otherwise`, or refused where that is `None`.
    """
    factor, face = linearisation.factor, linearisation.face
    assert factor is not None and isinstance(face, Coordinates) and linearisation.block is not None
    block = linearisation.block
    mask = lax.stop_gradient(face.mask)
    fits, healthy = factor.fits, factor.healthy
    if mask.shape[0] <= max(linearisation.capacities, default=0):
        otherwise = None  # there is always room
    if throw:  # judged here, where primal values are computed, not in the tangent solve
        if otherwise is None:
            mask = error_if(mask, ~fits, Status.over_capacity)
        mask = error_if(mask, fits & ~healthy, Status.singular)

    def reuse(b: Array) -> Array:  # a function of its own: bound methods of modules with arrays do not hash
        return factor.solve(b)

    def fresh(b: Array) -> Array:
        branches = [
            lambda b, c=c: factorise(block, mask, jnp.zeros_like(mask), c).solve(b) for c in linearisation.capacities
        ]
        return lax.switch(factor.bucket, branches, b) if len(branches) > 1 else branches[0](b)

    def direct(matvec: Any, b: Array) -> Array:
        pinned = jnp.where(mask, 0, b)
        # a symmetric `B` that is the identity off the face couples nothing
        coupled = jnp.where(mask, b if linearisation.symmetric else b - matvec(pinned), 0)
        applies = factor.kept if linearisation.factor_applies is None else linearisation.factor_applies & factor.kept
        x = lax.cond(applies, reuse, fresh, coupled)
        return jnp.where(healthy, x + pinned, jnp.nan)

    def solve(matvec: Any, b: Array) -> Array:
        if otherwise is None:
            return direct(matvec, b)
        iterate, diagonal = otherwise.iterate, linearisation.diagonal
        x, ok = lax.cond(
            fits, lambda b: (direct(matvec, b), jnp.asarray(True)), lambda b: iterate(matvec, b, diagonal), b
        )
        return judged(x, ok, Status.adjoint_failed, throw)

    return linear_solve(linearisation, rhs, solve, solve)


def solve_with_inverse(
    linearisation: Linearisation, inverse: AbstractInverse, rhs: Any, throw: bool, first: GMRES | None = None
) -> Any:
    """Solve by the inverse that the problem brought along, judged by the residual in units of `||b|| + ||x||`.

    A selection that is not the default one has another `B`, for which the system is factorised densely: where
    `factor_applies` is given it says so, and else the residual does, for at most `FEW` unknowns. Right sides of zero
    have the solution zero, whatever `B` is. Where the inverse is dear, it is for what `first` does not solve.
    """
    frozen, applies = lax.stop_gradient(inverse), linearisation.factor_applies

    def solver(transposed: bool) -> Any:
        def solve(matvec: Any, b: Array) -> Array:
            if first is None:
                x, regular = frozen.solve(b, transposed=transposed)
            else:
                x, regular = first.iterate(matvec, b)
                x, regular = only_where(~regular, lambda: frozen.solve(b, transposed=transposed), (x, regular))
            x = jnp.where(regular, x, 0)
            size = jnp.linalg.norm(b)
            left = jnp.linalg.norm(matvec(x) - b)
            close = left <= jnp.finfo(b.dtype).eps ** 0.5 * (size + jnp.linalg.norm(x))
            other = ~close if applies is None else ~applies
            if applies is not None or b.shape[0] <= FEW:

                def densely() -> tuple[Array, Array]:
                    # wanted by one element, it runs for a whole batch, whose healthy elements must not wait for it
                    matrix = as_matrix(matvec, b.shape[0], b.dtype)
                    factors, regular = lu(jnp.where(other, matrix, jnp.eye(b.shape[0], dtype=b.dtype)))
                    return jnp.where(regular, lu_solve(factors, b), 0), regular

                x, close = only_where(other, densely, (x, close))
                regular = jnp.where(other, close, regular)
            status = Status.where(regular, Status.adjoint_failed, Status.singular)
            return judged(x, close | (size == 0), status, throw)

        return solve

    return linear_solve(linearisation, rhs, solver(False), solver(True))


def _solve_with_lu(linearisation: Linearisation, rhs: Any, throw: bool) -> Any:
    flat, unravel = ravel_pytree(rhs)

    def matvec(v: Array) -> Array:
        return ravel_pytree(linearisation.apply(unravel(v)))[0]

    factors, ok = lu(lax.stop_gradient(as_matrix(matvec, flat.shape[0], flat.dtype)))
    if throw:
        factors = error_if(factors, ~ok, Status.singular)

    def solver(trans: int) -> Any:
        return lambda _matvec, b: jnp.where(ok, lu_solve(factors, b, trans=trans), jnp.nan)

    return linear_solve(linearisation, rhs, solver(0), solver(1))
