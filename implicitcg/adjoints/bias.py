"""How wrong a biased adjoint is, measured on a concrete problem."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from ..base import Status
from ..core import AbstractAdjoint, AbstractProblem, AbstractSolver, Found, Solution
from ..core.rule import implicit_root
from .automatic import Automatic


class AdjointBias(NamedTuple):
    """`relative` is `||g - g*|| / ||g*||` for the gradients `g` of the adjoint and `g*` exact."""

    relative: float
    cosine: float

    def __str__(self) -> str:
        return f"relative error {self.relative:.2g}, cosine with the exact gradient {self.cosine:.3f}"


class _Given(AbstractSolver):
    """Returns the start: the solution is known."""

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        return Found(init, Status.converged, jnp.zeros((), jnp.int32))


def measure_bias(
    problem: AbstractProblem,
    solution: Solution,
    adjoint: AbstractAdjoint,
    cotangent: Any = None,
    exact: AbstractAdjoint | None = None,
) -> AdjointBias:
    """The error of `adjoint` in the gradient of `<cotangent, z>` by all parameters of `problem`.

    Args:
        problem: what was solved.
        solution: its solution, one and not a batch. It is not solved again.
        adjoint: what to measure, such as `icg.adjoints.OneStep()`.
        cotangent: the gradient of a loss at the solution, of its structure; ones by default.
        exact: what to compare with; the automatic adjoint by default.

    Returns:
        The relative error and the cosine.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.fixed_point(lambda z, t: 0.9 * z + t, 1.0)
        >>> print(icg.adjoints.measure_bias(problem, icg.solve(problem), icg.adjoints.OneStep()))
        relative error 0.9, cosine with the exact gradient 1.000
    """
    parameters, rest = eqx.partition(problem.closed(solution.root), eqx.is_inexact_array)

    def gradient(adjoint: AbstractAdjoint) -> Any:
        out, pull = jax.vjp(lambda p: _presented(eqx.combine(p, rest), solution.root, adjoint), parameters)
        weights = jax.tree.map(jnp.ones_like, out) if cotangent is None else cotangent
        return ravel_pytree(pull(weights)[0])[0]

    by_adjoint, truth = gradient(adjoint), gradient(Automatic() if exact is None else exact)
    sizes = jnp.linalg.norm(by_adjoint), jnp.linalg.norm(truth)
    relative = jnp.linalg.norm(by_adjoint - truth) / sizes[1]
    return AdjointBias(float(relative), float(jnp.real(jnp.vdot(by_adjoint, truth)) / (sizes[0] * sizes[1])))


@eqx.filter_jit
def _presented(problem: AbstractProblem, root: Any, adjoint: AbstractAdjoint) -> Any:
    """The value of a problem at its root, with the derivative that `adjoint` gives it."""
    found = implicit_root(problem, lax.stop_gradient(root), solver=_Given(), adjoint=adjoint, throw=False)
    return problem.present(found.z)[0]
