"""Semismooth Newton without a matrix, for equations in many unknowns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ...base import while_loop
from ...core import AbstractProblem, AbstractSolver, Found
from ...linear.iteration import Evaluated, run_iteration, two_norm
from ...linear.krylov import gmres
from .equation import equation, found


class NewtonStep(NamedTuple):
    """`u <- u + s d` with `B d = -F` solved by GMRES and `s` halved until the residual falls; else the plain step.

    The linear system is solved to `min(1/10, size)`, relatively: loosely far away, and so that the last steps still
    converge superlinearly.
    """

    problem: AbstractProblem
    evaluate: Callable[[Array], Evaluated]
    unravel: Callable[[Array], Any]
    memory: int
    inner_steps: int

    def empty(self, u: Array) -> tuple[()]:
        """Nothing is remembered."""
        return ()

    def advance(self, u: Array, F: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
        """One step."""
        linearisation = self.problem.linearise(self.unravel(u))
        size = two_norm(F)
        forcing = jnp.clip(size / jnp.maximum(two_norm(u), 1), 1e-3, 0.1)
        matvec = linearisation.on_vectors(self.unravel)
        direction = gmres(matvec, -F, forcing, self.inner_steps, self.memory).x

        def worse(state: tuple[Array, Array]) -> Array:
            length, reached = state
            return ~(reached < size) & (length > 1e-4) & (size > 0)

        def halve(state: tuple[Array, Array]) -> tuple[Array, Array]:
            length = state[0] / 2
            return length, two_norm(self.evaluate(u + length * direction).F)

        length, reached = while_loop(worse, halve, (jnp.full_like(size, 2.0), jnp.full_like(size, jnp.inf)))
        return jnp.where(reached < size, u + length * direction, u - F), memory


class NewtonKrylov(AbstractSolver[AbstractProblem]):
    """`z <- z - s B^{-1} F(z)`, with one element `B` of the conservative Jacobian and GMRES; memory is `O(n)`.

    Args:
        tolerance: reach `||F(z)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        max_steps: Newton steps at the most.
        memory: directions that GMRES keeps.
        inner_steps: steps of GMRES at the most, a Newton step.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> float(icg.solve(icg.fixed_point(jnp.cos), icg.solvers.NewtonKrylov(), init=0.0).value.round(3))
        0.739

    Source: Eisenstat, Walker, Choosing the forcing terms in an inexact Newton method, SIAM J. Sci. Comput. 1996.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=100)
    memory: int = eqx.field(static=True, default=30)
    inner_steps: int = eqx.field(static=True, default=100)

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        posed = equation(problem, init, self.tolerance)
        method = NewtonStep(problem, posed.evaluate, posed.unravel, self.memory, self.inner_steps)
        return found(posed, run_iteration(posed.evaluate, posed.start, method, posed.tolerance, self.max_steps))
