"""`solve`: the door to every problem, and the `Solution` it returns."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Float, Int, PyTree

from ..base import Status, is_traced, raise_unless_converged, translated_errors, vary_together, worst
from .adjoint import AbstractAdjoint, Automatic
from .problem import AbstractProblem, AbstractSolver
from .rule import implicit_root

Z = TypeVar("Z")


class Solution(eqx.Module, Generic[Z]):
    """What `solve` returns. Only `value` and `dual` carry derivatives.

    `status` is an enumeration whose texts are advice (`icg.Status[status]`), `residual` the Euclidean norm of the
    optimality residual `F(z)`, `gap` the duality gap relative to the objective at zero (or `None`), `iterations` the
    steps of the solver, and `root` the unknown of the equation, of which `value` is the user's view.
    """

    value: PyTree
    dual: PyTree | None
    status: Status
    residual: Float[Array, ""]
    iterations: Int[Array, ""]
    gap: Float[Array, ""] | None
    root: Z

    def __str__(self) -> str:
        if is_traced(self) or jnp.ndim(self.residual) != 0:
            return repr(self)
        gap = "" if self.gap is None else f", relative duality gap {float(self.gap):.1e}"
        return (
            f"{Status[self.status]}\n"
            f"  {int(self.iterations)} iterations, residual {float(self.residual):.1e}{gap}\n"
            f"  value {self.value}"
        )

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether the solver reached its tolerance."""
        return self.status == Status.converged


def solve(
    problem: AbstractProblem,
    solver: AbstractSolver | None = None,
    init: Any = None,
    *,
    adjoint: AbstractAdjoint | None = None,
    throw: bool = True,
) -> Solution:
    """Solve `problem`, with derivatives from its equation and never from the solver.

    `z(theta)` solves `F(z; theta) = 0`, where `theta` are the array leaves of `problem`; differentiating the result
    gives `dz = -B^{-1} A dtheta` for one element `[A B]` of the conservative Jacobian of `F`.

    Args:
        problem: what to solve, for example `icg.lasso(X, y, alpha)`.
        solver: how; by default the problem's own choice.
        init: where to start, of the structure of the unknown (`solution.root` of a neighbouring problem is a warm
            start). It does not enter the derivative.
        adjoint: how the linear system of the derivative is solved (`icg.adjoints`); automatic by default.
        throw: whether failures raise, also inside `jit`. With `throw=False` the status tells, the value is the
            solver's best point, and a derivative that does not exist is NaN.

    Returns:
        A `Solution`. It works inside `jit`, `vmap`, `grad`, `jvp`, `jacfwd`, `jacrev` and `hessian`, in any nesting.

    Raises:
        SolveError: not converged, not unique, infeasible, non-finite input, or a singular derivative, with advice.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> jax.jacobian(lambda alpha: icg.solve(icg.lasso(X, y, alpha)).value)(jnp.float32(0.75))
        Array([-2.,  0.], dtype=float32)

    Source: Bolte, Le, Pauwels, Silveti-Falls, Nonsmooth implicit differentiation for machine learning and
    optimization, NeurIPS 2021.
    """
    if not isinstance(problem, AbstractProblem):
        raise TypeError(f"icg.solve needs a problem, such as icg.lasso(X, y, alpha), and got {type(problem).__name__}.")
    if solver is not None and not isinstance(solver, AbstractSolver):
        raise TypeError(f"`solver` must be one of icg.solvers, and is a {type(solver).__name__}.")
    problem = problem.closed(init)
    solver = problem.default_solver() if solver is None else solver
    adjoint = Automatic() if adjoint is None else adjoint
    start = problem.start(init)
    with translated_errors():
        solution = _solve(problem, solver, start, adjoint, throw)
    if not throw:
        return solution
    value, dual, root = raise_unless_converged((solution.value, solution.dual, solution.root), solution.status)
    return eqx.tree_at(
        lambda s: (s.value, s.dual, s.root), solution, (value, dual, root), is_leaf=lambda leaf: leaf is None
    )


@eqx.filter_jit
def _solve(
    problem: AbstractProblem, solver: AbstractSolver, start: Any, adjoint: AbstractAdjoint, throw: bool
) -> Solution:
    problem, start = vary_together((problem, start))
    found = implicit_root(problem, lax.stop_gradient(start), solver=solver, adjoint=adjoint, throw=throw)
    value, dual = problem.present(found.z)
    frozen = lax.stop_gradient(eqx.filter(problem, eqx.is_array))
    problem = eqx.combine(frozen, problem)
    root = lax.stop_gradient(found.z)
    residual = jnp.linalg.norm(ravel_pytree(problem.residual(root))[0])
    status = found.status
    finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in _floating(problem)] or [jnp.asarray(True)])
    status = worst(status, Status.where(jnp.isfinite(residual), Status.converged, Status.diverged))
    status = worst(status, Status.where(finite.all(), Status.converged, Status.non_finite_input))
    status = worst(status, Status.where(problem.invalid(), Status.invalid_input, Status.converged))
    return Solution(value, dual, status, residual, found.iterations, found.gap, root)


def _floating(tree: Any) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
