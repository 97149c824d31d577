"""What the solvers of cone programs in other libraries have in common: plain data in, a point and a verdict out."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...base import Status, needs
from ...base.lanes import lanes_on_host
from ...cone_programs import (
    KNOWN,
    ConePoint,
    ConeProgram,
    PolishedPoint,
    blocks,
    cone_program,
    on_independent_rows,
    polished,
    snapped_blocks,
)
from ...core import AbstractSolver, Found
from ...equations import Conic
from ...equations.conic import ConicPoint
from ...penalties.cones import AbstractCone, Dual, Free

VERDICTS = (Status.converged, Status.not_converged, Status.infeasible, Status.unbounded, Status.not_unique)
CONVERGED, NOT_CONVERGED, INFEASIBLE, UNBOUNDED, NOT_UNIQUE = range(5)
INTERIOR_POINT_VERDICTS = {  # in the words that Clarabel and Moreau share
    "Solved": CONVERGED,
    "AlmostSolved": CONVERGED,  # the residual is judged afterwards
    "PrimalInfeasible": INFEASIBLE,
    "AlmostPrimalInfeasible": INFEASIBLE,
    "DualInfeasible": UNBOUNDED,
    "AlmostDualInfeasible": UNBOUNDED,
}


class AbstractConicLibrary(AbstractSolver[Conic]):
    """A solver of cone programs in another library, by callback, and then Newton's method on the reduced equation.

    It is not trusted: its point counts as a solution when the residual of the problem says so.
    """

    tolerance: eqx.AbstractVar[float | None]
    newton_steps: eqx.AbstractVar[int]
    package: ClassVar[str]
    extra: ClassVar[str | None] = "cvxpy"
    cones: ClassVar[tuple[type[AbstractCone], ...]] = KNOWN  # those that the library has
    # The tolerances of the library, one after the other until Newton's method converges from its point: it needs a
    # point in its basin and no better one.
    handover: ClassVar[tuple[float, ...]] = (1e-5, 1e-8)

    @abc.abstractmethod
    def minimise(self, program: ConeProgram, tolerance: float) -> ConePoint:
        """The solution of a cone program whose data are finite, on the host."""

    def refuses(self, problem: Conic) -> str | None:
        """A cone that this library does not know."""
        unknown = (cone for cone in blocks(problem.cone) if type(cone) not in self.cones)
        return next((f"{type(self).__name__} has no {described(cone)}" for cone in unknown), None)

    def run(self, problem: Conic, init: Any) -> Found:
        """See `AbstractSolver.run`.

        Raises:
            ImportError: the library is not installed.
        """
        self.load()
        arrays, where = problem.data()
        solver, kind = self, type(self)  # a bound method of a module is a new module at every access
        n, m, dtype = problem.q.shape[0], problem.b.shape[0], problem.q.dtype
        number = jax.ShapeDtypeStruct((), jnp.int32)
        shapes = (jax.ShapeDtypeStruct((n,), dtype), jax.ShapeDtypeStruct((m,), dtype), number, number)

        def minimise(*arrays: Any) -> tuple[Any, ...]:
            program = cone_program(arrays, where)
            if program is None:
                return np.full(n, np.nan), np.full(m, np.nan), NOT_CONVERGED, 0
            return kind._polished(solver, program)

        x, v, verdict, iterations = lanes_on_host(minimise, shapes, *arrays)
        status = Status.converged
        for code, other in enumerate(VERDICTS):
            status = Status.where(verdict == code, other, status)
        return Found(ConicPoint(x, v), status, iterations)

    def _polished(self, program: ConeProgram) -> tuple[np.ndarray, np.ndarray, int, int]:
        """`(x, v)` to rounding where Newton's method takes the library's point there; verdict and iterations."""
        tolerances = self.handover if self.tolerance is None else (self.tolerance,)
        kind, where, newton_steps = type(self), program.where, self.newton_steps
        tolerance, iterations, relative = 0.0, 0, np.inf
        found = PolishedPoint(np.empty(0), np.empty(0), np.inf, True, False)
        for tolerance in tolerances:
            point = kind.minimise(self, program, tolerance)
            iterations += point.iterations
            if point.verdict != CONVERGED:
                return point.x, point.s - point.y, point.verdict, iterations
            found = polished(program, point, newton_steps, last=tolerance == tolerances[-1])
            size = np.linalg.norm(program.q) + np.linalg.norm(program.b) + np.linalg.norm(found.x)
            relative = found.residual / (1 + size + np.linalg.norm(found.v))
            if relative <= 1e-10:
                break
        # where Newton's method fails, the library's own point is good to its tolerance; a looser one is the user's wish
        enough = 1e-7 if self.tolerance is None else max(1e-7, 100 * tolerance)
        verdict = CONVERGED if relative <= enough else NOT_CONVERGED
        if verdict == CONVERGED and not found.unique:
            verdict = NOT_UNIQUE
        v = snapped_blocks(where, found.v)
        if verdict == CONVERGED and (found.dependent or not v[where.orthant].all()):
            v = on_independent_rows(program.A, where, v)
        return found.x, v, verdict, iterations

    def load(self) -> Any:
        """The library, imported when it is used."""
        return needs(self.package, self.extra, f"icg.solvers.external.{type(self).__name__}")


def described(cone: AbstractCone) -> str:
    """The name of a cone, and what to write instead."""
    if isinstance(cone, Free):
        return "`Free` cone; a row without constraint can be left out"
    if isinstance(cone, Dual):
        return f"dual of a `{type(cone.cone).__name__}` cone; write the constraint with the cone itself"
    return f"`{type(cone).__name__}` cone"
