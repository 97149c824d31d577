"""`solve` and `certify`: the doors to every problem, above the tables of default solvers and adjoints."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from .adjoints.automatic import Automatic
from .base import Status, is_traced, raise_unless_converged, translated_errors, vary_together, worst
from .core import AbstractAdjoint, AbstractProblem, AbstractSolver, Certificate, Solution
from .core.rule import implicit_root
from .solvers.automatic import default_solver


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
        solver: how; by default the one for this kind of problem.
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
    solver = default_solver(problem) if solver is None else _fitting(solver, problem)
    problem = problem.closed(init)
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


def certify(problem: AbstractProblem, solution: Solution, *, tol: float | None = None) -> Certificate:
    """Whether every element of the conservative Jacobian of the optimality equation is invertible at a solution.

    The claim `certified` is about all `B` in `{B : [A B] in J_F(theta, z)}`, not about the one that a derivative
    happened to use. It rests on the test that fits the problem: for the LASSO family, positive definiteness of the
    Hessian on the equicorrelation set, which is exact.

    Args:
        problem: the problem that was solved.
        solution: what `icg.solve` returned for it (one solution, not a batch).
        tol: kinks at most this far away count as active, in the units of `margin`; by default the error bound of the
            solution, which is how well its kinks can be told apart.

    Returns:
        A `Certificate`; `print` it for a summary.

    Raises:
        TypeError: inside `jit` or `vmap`: a certificate is a decision about concrete numbers.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.lasso(jnp.eye(2), jnp.array([2.0, 1.0]), 0.75)
        >>> icg.certify(problem, icg.solve(problem)).verdict
        'certified'

    Source: Bolte, Le, Pauwels, Silveti-Falls, NeurIPS 2021, theorem 2 and its corollary for the lasso.
    """
    if not isinstance(problem, AbstractProblem) or not isinstance(solution, Solution):
        raise TypeError("icg.certify takes the problem and the Solution that icg.solve returned for it, in this order.")
    if is_traced((problem, solution)):
        raise TypeError(
            "icg.certify needs concrete numbers and was called inside a JAX transformation. Return the solution from "
            "the transformed function and certify it outside; for a batch, certify one element at a time."
        )
    if np.ndim(solution.residual) != 0:
        raise TypeError(
            f"This is a batch of {np.size(solution.residual)} solutions; certify one at a time: "
            "`jax.tree.map(lambda leaf: leaf[i], ...)`."
        )
    if not bool(solution.converged):
        return Certificate(
            "unknown", 0, np.nan, np.nan, 0, f"there is no solution to certify. {Status[solution.status]}"
        )
    if tol is not None and not (np.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol is {tol}; give a finite distance >= 0, or None for the solution's error bound.")
    problem = problem.closed(solution.root)
    root = jax.tree.map(np.asarray, solution.root)
    return problem.certificate(root, float(solution.residual), None if tol is None else float(tol))


def _fitting(solver: AbstractSolver, problem: AbstractProblem) -> AbstractSolver:
    """The user's solver, if it is one, and one for this kind of problem."""
    if not isinstance(solver, AbstractSolver):
        raise TypeError(f"`solver` must be one of icg.solvers, and is a {type(solver).__name__}.")
    reason = solver.misfit(problem)
    if reason is None:
        return solver
    raise TypeError(
        f"{type(solver).__name__} cannot solve this problem: {reason}. Leave `solver` out to use "
        f"{type(default_solver(problem)).__name__}."
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
