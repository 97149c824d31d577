"""The implicit rule: the one place where a derivative of a solution is made.

Let `F(theta, z) = 0` define `z(theta)`, and let `[A B]` be an element of the conservative Jacobian of `F` at the
solution. If every such `B` is invertible, `-B^{-1} A` is an element of a conservative Jacobian of `z` (nonsmooth
implicit function theorem; Bolte, Le, Pauwels, Silveti-Falls, NeurIPS 2021), and

    dz = -B^{-1} (A dtheta).

The rule is a `jax.custom_jvp`: forward mode is this formula, reverse mode is its transpose (`lax.custom_linear_solve`
transposes the solve), and second derivatives differentiate the formula itself, in which `z` is again the solution map.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool

from ..base import Status, nondifferentiable, raise_unless_converged
from ..base.tracing import same_context
from .contracts import AbstractAdjoint, AbstractSolver, Found
from .problem import AbstractProblem


@eqx.filter_custom_jvp
def implicit_root(
    problem: AbstractProblem, init: Any, *, solver: AbstractSolver, adjoint: AbstractAdjoint, throw: bool
) -> Found:
    """The root of `problem` found by `solver`, with the derivative of the equation."""
    del adjoint, throw
    with same_context():
        return _run(solver, problem, init)


@eqx.filter_jit
def _run(solver: AbstractSolver, problem: AbstractProblem, init: Any) -> Found:
    """The search, as a program of its own: JAX traces it once for the value and for the rule, which calls it too."""
    return solver.run(problem, init)


@implicit_root.def_jvp
def _implicit_root_jvp(
    primals: Any, tangents: Any, *, solver: AbstractSolver, adjoint: AbstractAdjoint, throw: bool
) -> tuple[Found, Any]:
    problem, init = primals
    problem_tangent, _ = tangents  # the root does not depend on where the search began
    found = implicit_root(problem, init, solver=solver, adjoint=adjoint, throw=throw)
    still = jax.tree.map(lambda _: None, found)
    if not jax.tree.leaves(problem_tangent):
        return found, still
    at, z = problem, found.z
    if throw:  # a gradient whose loss nobody looks at does not depend on the value, where failures raise otherwise
        z = raise_unless_converged(z, found.status)
    if adjoint.biased:
        at, z = nondifferentiable(
            (problem, z),
            "A derivative of a derivative was asked of a biased adjoint "
            f"({type(adjoint).__name__}), and would be no Hessian. Use an exact one, such as "
            "`icg.adjoints.Automatic()`, for second derivatives.",
        )
    linearisation = at.linearise(z, found.memory)
    rhs = jax.tree.map(jnp.negative, linearisation.push(problem_tangent))
    dz = adjoint.solve(linearisation, rhs, throw=throw)
    if not throw:
        dz = undefined_where(without_solution(found.status), dz)
    return found, eqx.tree_at(lambda f: f.z, still, dz, is_leaf=lambda leaf: leaf is None)


def without_solution(status: Status) -> Bool[Array, ""]:
    """Whether a status says that there is no solution, and so no derivative: infeasible or unbounded."""
    return (status == Status.infeasible) | (status == Status.unbounded)


def undefined_where(nowhere: Bool[Array, ""], tangent: Any) -> Any:
    """`tangent`, in which entries other than 0 are NaN if `nowhere`, in both modes.

    A derivative that does not exist is NaN for who asks for it; where its cotangent is zero, as in a loss that masks
    failed elements, it is zero and leaves the gradient of shared data alone.
    """

    def solve(_: Any, b: Array) -> Array:
        return jnp.where(nowhere & (b != 0), jnp.nan, b)

    return jax.tree.map(lambda leaf: lax.custom_linear_solve(lambda v: v, leaf, solve, solve), tangent)
