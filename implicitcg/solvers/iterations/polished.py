"""One Newton step at the end: from a tolerance to rounding."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ...base import Status, while_loop
from ...core import AbstractProblem, AbstractSolver, Found, Linearisation
from ...linear import SplittingInverse, dense_inverse
from ...linear.iteration import Evaluated
from ...linear.krylov import gmres
from ...linear.solves import as_matrix
from ..automatic import default_solver
from .equation import Equation, equation


class Polished(AbstractSolver[AbstractProblem]):
    """What `solver` finds, moved by a Newton step on the pattern found there, if that makes the residual smaller.

    Between kinks a layer of ReLUs is affine, so once the sign of every unit is right one step gives the solution to
    rounding, and with it the derivative. The step is solved densely up to `dense_limit` unknowns, by the splitting of a
    monotone layer, or by GMRES.

    Args:
        solver: what finds the point; the problem's own by default.
        steps: Newton steps at the most; the second one only matters where the first changed the pattern.
        dense_limit: unknowns up to which a matrix is factored.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> rough = icg.solvers.FixedPointIteration(tolerance=1e-2)
        >>> problem = icg.fixed_point(lambda z: jnp.abs(z) / 2 + 1)
        >>> [float(icg.solve(problem, s, init=0.0).value) for s in (rough, icg.solvers.Polished(rough))]
        [1.96875, 2.0]
    """

    solver: AbstractSolver | None = None
    steps: int = eqx.field(static=True, default=2)
    dense_limit: int = eqx.field(static=True, default=64)

    def refuses(self, problem: AbstractProblem) -> str | None:
        """What the inner solver does not solve."""
        return None if self.solver is None else self.solver.misfit(problem)

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        inner = default_solver(problem) if self.solver is None else self.solver
        rough = inner.run(problem, init)
        posed = equation(problem, rough.z, None)

        def unfinished(state: tuple[Array, Array, Evaluated]) -> Array:
            return state[1] & (state[0] < self.steps)

        def step(state: tuple[Array, Array, Evaluated]) -> tuple[Array, Array, Evaluated]:
            count, _, at = state
            new = posed.evaluate(at.keep + self._direction(problem, posed, at.keep, at.F, rough.memory))
            better = new.size < at.size
            at = jax.tree.map(lambda new, old: jnp.where(better, new, old), new, at)
            return count + 1, better & (at.size > 0.1 * posed.tolerance * at.scale), at  # 10 eps: rounding is all

        start = (jnp.zeros((), jnp.int32), jnp.asarray(True), posed.evaluate(posed.start))
        at = while_loop(unfinished, step, start)[2]
        solved = Status.where(at.size <= posed.tolerance * at.scale, Status.converged, rough.status)
        return Found(posed.unravel(at.keep), solved, rough.iterations, rough.memory, rough.gap)

    def _direction(self, problem: AbstractProblem, posed: Equation, z: Array, F: Array, memory: Any) -> Array:
        linearisation: Linearisation = problem.linearise(posed.unravel(z), memory)
        matvec = linearisation.on_vectors(posed.unravel)
        if z.size <= self.dense_limit:
            direction, regular = dense_inverse(as_matrix(matvec, z.size, z.dtype)).solve(-F, transposed=False)
            return jnp.where(regular, direction, 0)
        accuracy = float(jnp.finfo(z.dtype).eps) ** 0.5
        if isinstance(linearisation.inverse, SplittingInverse):
            return linearisation.inverse.roughly(-F, accuracy, 1000)
        return gmres(matvec, -F, accuracy, 200, 20).x
