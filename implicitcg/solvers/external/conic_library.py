"""What the solvers of cone programs in other libraries have in common: plain data in, a point and a verdict out."""

from __future__ import annotations

import abc
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array

from ...base import Status
from ...core import AbstractSolver, Found
from ...penalties.cones import AbstractCone, Power, Product
from .cone_faces import Layout, layout, snapped
from .independent_rows import on_independent_rows
from .lanes import lanes_on_host
from .polish import Polished, polish

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


@dataclass(frozen=True)
class ConeProgram:
    """`min 1/2 x^T P x + q^T x`, `A x + s = b`, `s` in a product of cones, in float64 on the host.

    `P` is symmetric with both triangles, and `None` for a linear objective. `where` tells the cones, `exponents` are
    those of the power cones among them, in order.
    """

    P: scipy.sparse.csc_array | None
    q: np.ndarray
    A: scipy.sparse.csc_array
    b: np.ndarray
    where: Layout
    exponents: np.ndarray


@dataclass(frozen=True)
class ConePoint:
    """What a library found: `x`, the slack `s`, the multiplier `y` in the dual cone, a verdict and the iterations."""

    x: np.ndarray
    s: np.ndarray
    y: np.ndarray
    verdict: int
    iterations: int


class AbstractConicLibrary(AbstractSolver):
    """A solver of cone programs in another library, by callback, and then Newton's method on the reduced equation.

    It is not trusted: its point counts as a solution when the residual of the problem says so.
    """

    tolerance: eqx.AbstractVar[float | None]
    newton_steps: eqx.AbstractVar[int]
    package: ClassVar[str]
    # The tolerances of the library, one after the other until Newton's method converges from its point: it needs a
    # point in its basin and no better one.
    handover: ClassVar[tuple[float, ...]] = (1e-5, 1e-8)

    @abc.abstractmethod
    def refusal(self, cone: AbstractCone) -> str | None:
        """Why this library cannot handle a cone, or `None`."""

    @abc.abstractmethod
    def minimise(self, program: ConeProgram, tolerance: float) -> ConePoint:
        """The solution of a cone program whose data are finite, on the host."""

    def run(self, problem: Any, init: Any) -> Found:
        """See `AbstractSolver.run`; `problem` is an `icg.conic`.

        Raises:
            ImportError: the library is not installed. TypeError: a cone or a problem that it does not know.
        """
        self.require(problem, "P", "q", "A", "b", "cone")
        for cone in factors(problem.cone):
            reason = self.refusal(cone)
            if reason is not None:
                raise TypeError(f"{type(self).__name__} cannot solve this problem: {reason}.")
        self.load()
        arrays, where = data_of(problem)
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
        return Found(problem.unknown(x, v), status, iterations)

    def _polished(self, program: ConeProgram) -> tuple[np.ndarray, np.ndarray, int, int]:
        """`(x, v)` to rounding where Newton's method takes the library's point there; verdict and iterations."""
        tolerances = self.handover if self.tolerance is None else (self.tolerance,)
        kind, where, newton_steps = type(self), program.where, self.newton_steps
        tolerance, iterations, relative, found = 0.0, 0, np.inf, Polished(np.empty(0), np.empty(0), np.inf, True, False)
        for tolerance in tolerances:
            point = kind.minimise(self, program, tolerance)
            iterations += point.iterations
            x, v = point.x, point.s - point.y
            if point.verdict != CONVERGED:
                return x, v, point.verdict, iterations
            found = polish(program, x, point.s, point.y, newton_steps, last=tolerance == tolerances[-1])
            size = np.linalg.norm(program.q) + np.linalg.norm(program.b) + np.linalg.norm(found.x)
            relative = found.residual / (1 + size + np.linalg.norm(found.v))
            if relative <= 1e-10:
                break
        # where Newton's method fails, the library's own point is good to its tolerance; a looser one is the user's wish
        enough = 1e-7 if self.tolerance is None else max(1e-7, 100 * tolerance)
        verdict = CONVERGED if relative <= enough else NOT_CONVERGED
        if verdict == CONVERGED and not found.unique:
            verdict = NOT_UNIQUE
        v = snapped(where, found.v)
        if verdict == CONVERGED and (found.dependent or not v[where.orthant].all()):
            v = on_independent_rows(program.A, where, v)
        return found.x, v, verdict, iterations

    def load(self) -> ModuleType:
        """The library, imported when it is used."""
        try:
            return importlib.import_module(self.package)
        except ImportError as error:
            raise ImportError(
                f"{type(self).__name__} needs the package {self.package}, which is not installed: "
                f"`pip install {self.package}`, or `pip install implicitcg[cvxpy]` for cone programs and cvxpy layers."
            ) from error


def factors(cone: AbstractCone) -> tuple[AbstractCone, ...]:
    """The cones of a product, and of the products inside it, in the order of their blocks; empty ones are left out."""
    if isinstance(cone, Product):
        return tuple(part for inner in cone.cones for part in factors(inner))
    return (cone,) if cone.dimension else ()


def data_of(problem: Any) -> tuple[tuple[Any, ...], Layout]:
    """The arrays of a cone program, `P`, `q`, `A`, `b` and exponents, and what is known before they are."""
    return (problem.P, problem.q, problem.A, problem.b, exponents_in(problem.cone)), layout(factors(problem.cone))


def exponents_in(cone: AbstractCone) -> tuple[Array, ...]:
    """The exponents of the power cones of a product, in order."""
    return tuple(jnp.asarray(part.a) for part in factors(cone) if isinstance(part, Power))


def cone_program(arrays: tuple[Any, ...], where: Layout) -> ConeProgram | None:
    """The program of `data_of` with NumPy leaves, or `None` where they are not finite."""
    P, q, A, b, exponents = arrays
    P = None if P is None else symmetric_part(type(P).on_host(P))
    A, q, b = type(A).on_host(A), np.asarray(q, np.float64), np.asarray(b, np.float64)
    parts = [q, b, A.data] + ([] if P is None else [P.data])
    if not all(np.isfinite(part).all() for part in parts):
        return None
    return ConeProgram(P, q, A, b, where, np.array(exponents, np.float64))


def symmetric_part(P: scipy.sparse.csc_array) -> scipy.sparse.csc_array:
    """`(P + P^T) / 2`, with sorted indices."""
    P = scipy.sparse.csc_array((P + P.T) / 2)
    P.sort_indices()
    return P
