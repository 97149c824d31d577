"""The layer: a convex problem written in CVXPY, as a function of its parameters."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..base import SolveError, code_of, translated_errors
from ..core import AbstractProblem, AbstractSolver, Certificate, Solution, undefined_where, without_solution
from ..equations import Conic, conic
from ..solvers.automatic import default_solver
from ..solving import certify, solve
from .arguments import DeclaredParameter, batched
from .canonical import Canonical, canonicalise
from .determined import Determined, UniqueWhereItMatters, determined
from .diagnosis import concrete, detail, explained
from .options import forward_solver
from .validation import validate

if TYPE_CHECKING:
    import cvxpy


class CvxpyLayer(eqx.Module):
    r"""The optimal variables of a convex problem, written in CVXPY, as a function of its parameters.

    The problem is brought to the form `min 1/2 x^T P x + q^T x`, `A x + s = b`, `s in K` once. `P`, `q`, `A`, `b` are
    affine in the parameters, and the variables linear in `x`; these maps are part of the traced program, so that a call
    is an ordinary JAX function: `jit`, `vmap`, `grad`, `jvp`, `jacfwd`, `jacrev`, `hessian`, in any nesting, from any
    number of threads. A layer is a pytree without leaves: it may be a part of an Equinox module or an argument of a
    compiled function. The call is that of `cvxpylayers.jax.CvxpyLayer`.

    Args:
        problem: a `cvxpy.Problem` by the rules of parametrised programming (DPP). Quadratic objectives stay quadratic,
            and the matrix `P` of `cp.quad_form(x, P)` in the objective may be a parameter.
        parameters: all parameters of the problem, in the order in which a call takes their values.
        variables: what a call returns, in this order: variables of the problem, and for multipliers the
            `dual_variables` of its constraints.
        solver: `None` or `"CLARABEL"`, another name that CVXPY or cvxpylayers has for a solver, or a solver of
            `icg.solvers`. It does not enter the derivative.
        gp: whether the problem is a geometric program: positive variables and parameters, of which logarithms are
            taken.
        verbose: whether CVXPY's compilation and the solver print what they do.
        canon_backend: how CVXPY builds its matrices, `None` for its own choice.
        solver_args: options of the solver, for every call.

    Raises:
        ImportError: CVXPY is not installed. TypeError, ValueError: not a convex problem, not DPP (the parts that are
            not are named), parameters missing or unused, variables that are not the problem's.

    Example:
        >>> import cvxpy as cp, jax, jax.numpy as jnp, implicitcg as icg
        >>> x, u = cp.Variable(3), cp.Parameter(3)
        >>> problem = cp.Problem(cp.Minimize(cp.sum_squares(x - u)), [cp.sum(x) == 1, x >= 0])
        >>> simplex = icg.CvxpyLayer(problem, [u], [x])
        >>> simplex(jnp.array([1.0, 0.5, -1.0]))[0].round(4).tolist()
        [0.75, 0.25, 0.0]
        >>> jax.jacobian(lambda u: simplex(u)[0])(jnp.array([1.0, 0.5, -1.0])).round(4)[0].tolist()
        [0.5, -0.5, 0.0]

    Source: Agrawal, Amos, Barratt, Boyd, Diamond, Kolter, Differentiable convex optimization layers, NeurIPS 2019, for
    the maps; the derivative is that of `icg.conic`.
    """

    canonical: Canonical = eqx.field(static=True)
    parameters: tuple[DeclaredParameter, ...] = eqx.field(static=True)
    constraints: tuple[str, ...] = eqx.field(static=True)
    variables: tuple[str, ...] = eqx.field(static=True)
    solver: str | AbstractSolver | None
    solver_args: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(
        self,
        problem: cvxpy.Problem,
        parameters: Sequence[cvxpy.Parameter],
        variables: Sequence[cvxpy.Variable],
        solver: str | AbstractSolver | None = None,
        gp: bool = False,
        verbose: bool = False,
        canon_backend: str | None = None,
        solver_args: Mapping[str, Any] | None = None,
    ):
        validate(problem, parameters, variables, gp)
        arguments = dict(solver_args or {}) | ({"verbose": True} if verbose else {})
        forward_solver(solver, arguments)  # refuses at once what no call could use
        self.canonical = canonicalise(problem, parameters, variables, gp=gp, verbose=verbose, backend=canon_backend)
        self.parameters = tuple(DeclaredParameter.of(parameter, gp) for parameter in parameters)
        self.constraints = tuple(str(constraint) for constraint in problem.constraints)
        self.variables = tuple(variable.name() for variable in problem.variables())
        self.solver = solver
        self.solver_args = tuple(arguments.items())

    def __call__(
        self,
        *parameters: Any,
        solver_args: Mapping[str, Any] | None = None,
        warm_start: bool = False,
        throw: bool = True,
    ) -> tuple[Array, ...]:
        """The optimal `variables` at values of the parameters.

        Args:
            *parameters: one array for each parameter of the layer, in their order and of their shapes, each with or
                without leading batch axes; those that have them must agree.
            solver_args: options of the solver for this call, on top of those of the layer.
            warm_start: as in cvxpylayers, and without effect: interior point methods start cold, and a call remembers
                nothing, which is what makes it a function.
            throw: whether failures raise; with `False`, use `solve` to see the status.

        Returns:
            One array for each of the layer's `variables`, with the batch axes in front.

        Raises:
            ValueError: wrong shapes, batches that differ, values that are not as declared, each with the name of the
                parameter. SolveError: infeasible, unbounded, or not solved, with the constraints that clash.
        """
        if warm_start:
            warnings.warn("`warm_start=True` has no effect here: every call starts cold.", stacklevel=2)
        return self.solve(*parameters, solver_args=solver_args, throw=throw).value

    def solve(self, *parameters: Any, solver_args: Mapping[str, Any] | None = None, throw: bool = True) -> Solution:
        """The whole `Solution`: the tuple of variables as its `value`, and a status, residual and steps per element.

        Its `dual` are the multipliers `y` of the cone program. With `throw=False` an element of a batch that is
        infeasible says so in its `status` and leaves the others alone: its variables and their derivatives are NaN, and
        a loss that masks them with `jnp.where(solution.converged, ...)` has a finite gradient.
        """
        shape, arrays, which = batched(self.parameters, parameters)
        solver = self._solver(solver_args)
        try:
            with translated_errors():
                solution = _solved(self.canonical, tuple(arrays), tuple(which), solver, throw)
        except SolveError as error:
            raise self._explained(error, shape, arrays, which, solver) from None
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), solution) if shape else solution

    def problem(self, *parameters: Any) -> AbstractProblem:
        """The cone program at values of the parameters (one of each, no batch), for `icg.solve` and `icg.certify`."""
        shape, arrays, _ = batched(self.parameters, parameters)
        if shape:
            raise ValueError(
                f"A cone program is made for one value of each parameter, and this is a batch of shape {shape}. Use "
                "`jax.vmap`, or take one element."
            )
        return _program(self.canonical, arrays)

    def certificate(
        self, *parameters: Any, solver_args: Mapping[str, Any] | None = None, tol: float | None = None
    ) -> Certificate:
        """The verdict of `icg.certify` on the derivative at values of the parameters (one of each, no batch).

        It is about the cone program with all its unknowns. Where those that CVXPY added are free, as at a slack
        `norm(x) <= r`, that one is singular though the layer's variables have a derivative; the verdict is `unknown`.
        """
        problem = self.problem(*parameters)
        plain = self._solver(solver_args)
        judged = UniqueWhereItMatters(default_solver(problem) if plain is None else plain, self.canonical)
        solution = solve(problem, judged, throw=False)
        verdict = certify(problem, solution, tol=tol)
        if verdict.verdict != "singular" or not bool(determined(problem, solution.root, self.canonical)):
            return verdict
        reason = (
            "unknowns that CVXPY added to the problem are free here (a constraint is slack), so that the cone program "
            "is singular as a whole; the variables of the layer and their derivative are determined"
        )
        return dataclasses.replace(verdict, verdict="unknown", reason=reason)

    def _explained(
        self, error: SolveError, shape: tuple[int, ...], arrays: Sequence[Any], which: Sequence[bool], solver: Any
    ) -> SolveError:
        """`error` with the element that failed and the constraints to blame, where the values are known."""
        values = concrete(arrays)
        if values is None:
            return error
        status, element = error.status, ()
        if shape:
            known = tuple(jnp.asarray(value) for value in values)
            statuses = np.asarray(code_of(_solved(self.canonical, known, tuple(which), solver, False).status))
            failed = np.flatnonzero(statuses == int(code_of(status)))
            if not len(failed):
                return error
            element = tuple(int(i) for i in np.unravel_index(failed[0], shape))
            values = [
                value[failed[0]] if is_batched else value for value, is_batched in zip(values, which, strict=True)
            ]
        problem = _program(self.canonical, [jnp.asarray(value) for value in values])
        more = detail(problem, self.canonical, self.constraints, self.variables, status)
        return explained(error, status, element, more)

    def _solver(self, solver_args: Mapping[str, Any] | None) -> AbstractSolver | None:
        return forward_solver(self.solver, dict(self.solver_args) | dict(solver_args or {}))

    def __repr__(self) -> str:
        given = ", ".join(f"{parameter.name}{list(parameter.shape)}" for parameter in self.parameters)
        found = ", ".join(f"{variable.name}{list(variable.shape)}" for variable in self.canonical.variables)
        return f"CvxpyLayer(({given}) -> ({found}), {self.canonical.n} unknowns, {self.canonical.m} rows)"


def _program(canonical: Canonical, arrays: Sequence[Array]) -> Conic:
    P, q, A, b = canonical.evaluate(arrays)
    return conic(P, q, A, b, canonical.cone())


@jax.custom_jvp
def _undefined(nowhere: Array, value: Array) -> Array:
    """`value`, NaN if `nowhere`, with a derivative that is NaN there too."""
    return jnp.where(nowhere, jnp.full_like(value, jnp.nan), value)


@_undefined.defjvp
def _undefined_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    nowhere, value = primals
    return _undefined(nowhere, value), undefined_where(nowhere, tangents[1])


@eqx.filter_jit
def _solved(
    canonical: Canonical,
    arrays: tuple[Array, ...],
    which: tuple[bool, ...],
    solver: AbstractSolver | None,
    throw: bool,
) -> Solution:
    adjoint = Determined(canonical)

    def one(*arrays: Array) -> Solution:
        problem = _program(canonical, arrays)
        plain = default_solver(problem) if solver is None else solver
        judged = UniqueWhereItMatters(plain, canonical)
        solution: Any = solve(problem, judged, adjoint=adjoint, throw=throw)
        found = [variable(solution.value, solution.dual) for variable in canonical.variables]
        variables = tuple(_undefined(without_solution(solution.status), value) for value in found)
        return eqx.tree_at(lambda s: s.value, solution, variables)

    if not any(which):
        return one(*arrays)
    return jax.vmap(one, in_axes=tuple(0 if many else None for many in which))(*arrays)
