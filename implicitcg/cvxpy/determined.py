"""The linear system of a layer's derivative where unknowns that CVXPY added are free."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_factor, lu_solve

from ..adjoints import AbstractAdjoint, Automatic
from ..base import Status, error_if, fori_loop, only_where
from ..core import AbstractProblem, AbstractSolver, Found, Linearisation
from ..equations import Conic
from ..linear.solves import as_matrix
from .canonical import Canonical

LIMIT = 3000
"""Unknowns up to which a singular system is taken apart densely."""


class Determined(AbstractAdjoint):
    """Solves `B dz = rhs`; where `B` is singular, for the part of `dz` that is determined nevertheless.

    To write `norm(x) <= r` as a cone program, CVXPY adds an unknown `t` with `norm(x) <= t <= r`. Where the constraint
    is slack, every such `t` will do, and `B` is singular although `x` and its derivative are what they should be. This
    adjoint first does what `Automatic` does. Where that fails, it iterates `x += (B + d I)^{-1} (rhs - B x)` with
    `d = sqrt(eps) max |B|`, which converges to a solution if there is one. It is accepted if its residual is at most
    `sqrt(eps)` of `rhs`, and if no null vector of `B` moves anything that the layer returns: a null vector without
    symmetry, `lim (d (B + d I)^{-1})^k g`, is looked at. Otherwise the derivative is refused as singular.
    """

    canonical: Canonical = eqx.field(static=True)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        flat, unravel = ravel_pytree(rhs)
        if flat.shape[0] > LIMIT:
            return Automatic().solve(linearisation, rhs, throw=throw)

        def matvec(v: Array) -> Array:
            return ravel_pytree(linearisation.apply(unravel(v)))[0]

        def regular(b: Array) -> Array:
            return ravel_pytree(Automatic().solve(linearisation, unravel(b), throw=False))[0]

        def transposed(b: Array) -> Array:
            return jax.linear_transpose(regular, b)(b)[0]

        def solver(trans: int) -> Any:
            def solve(_matvec: Any, b: Array) -> Array:
                x = (transposed if trans else regular)(b)
                failed = ~jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(b))
                x, ok = only_where(failed, lambda: self._loose(matvec, b, trans), (x, ~failed))
                return error_if(x, ~ok, Status.singular) if throw else jnp.where(ok, x, jnp.nan)

            return solve

        return unravel(lax.custom_linear_solve(matvec, flat, solver(0), solver(1)))

    def _loose(self, matvec: Any, b: Array, trans: int) -> tuple[Array, Array]:
        matrix = lax.stop_gradient(as_matrix(matvec, b.shape[0], b.dtype))
        factors, shift, small = _shifted(matrix)
        side = matrix.T if trans else matrix

        def refine(_: Any, x: Array) -> Array:
            return x + lu_solve(factors, b - side @ x, trans=trans)

        x = fori_loop(0, 6, refine, jnp.zeros_like(b))
        solved = jnp.linalg.norm(side @ x - b) <= small * jnp.linalg.norm(b)
        return x, solved & _unmoved(self.canonical, matrix, factors, shift)


class UniqueWhereItMatters(AbstractSolver[Conic]):
    """A solver of cone programs for which a solution is unique if what the layer returns of it is."""

    solver: AbstractSolver
    canonical: Canonical = eqx.field(static=True)

    def refuses(self, problem: Conic) -> str | None:
        """What the solver inside does not solve."""
        return self.solver.misfit(problem)

    def run(self, problem: Conic, init: Any) -> Found:
        """See `AbstractSolver.run`."""
        found = self.solver.run(problem, init)
        if ravel_pytree(found.z)[0].shape[0] > LIMIT:
            return found
        loose = found.status == Status.not_unique
        pardoned = only_where(loose, lambda: determined(problem, found.z, self.canonical), jnp.zeros_like(loose))
        status = Status.where(pardoned, Status.converged, found.status)
        return eqx.tree_at(lambda f: f.status, found, status)


@eqx.filter_jit
def determined(problem: AbstractProblem, z: Any, canonical: Canonical) -> Array:
    """Whether the linearised equation leaves nothing free that the layer returns."""
    flat, unravel = ravel_pytree(z)
    linearisation = problem.linearise(z)
    matrix = as_matrix(lambda v: ravel_pytree(linearisation.apply(unravel(v)))[0], flat.shape[0], flat.dtype)
    factors, shift, _ = _shifted(matrix)
    return _unmoved(canonical, matrix, factors, shift)


def _shifted(matrix: Array) -> tuple[Any, Array, float]:
    """The factors of `B + d I`, `d`, and `sqrt(eps)`."""
    small = float(jnp.finfo(matrix.dtype).eps) ** 0.5
    shift = small * jnp.max(jnp.abs(matrix))
    return lu_factor(matrix + shift * jnp.eye(matrix.shape[0], dtype=matrix.dtype)), shift, small


def _unmoved(canonical: Canonical, matrix: Array, factors: Any, shift: Array) -> Array:
    """Whether a null vector `(dx, dv)` of `B` leaves the returned entries of `x` and of `y = s - v` where they are.

    There `ds = -A dx`, and the lower part of `B (dx, 0)` is `A dx`.
    """
    size, n = matrix.shape[0], canonical.n
    start = jnp.cos(1.0 + jnp.arange(size, dtype=matrix.dtype))
    null = fori_loop(0, 3, lambda _, v: shift * lu_solve(factors, v), start)
    in_x, in_y = canonical.outputs()
    dx, dv = null[:n], null[n:]
    dy = -matrix[n:, :n] @ dx - dv
    moved = jnp.where(jnp.asarray(in_x), dx, 0), jnp.where(jnp.asarray(in_y), dy, 0)
    return jnp.linalg.norm(jnp.concatenate(moved)) <= (float(jnp.finfo(matrix.dtype).eps) * size) ** 0.5
