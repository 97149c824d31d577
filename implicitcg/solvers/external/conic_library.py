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
from jax.flatten_util import ravel_pytree

from ...base import Status
from ...core import AbstractSolver, Found
from ...penalties.cones import AbstractCone, Product
from ..newton import Newton
from .lanes import lanes_on_host

VERDICTS = (Status.converged, Status.not_converged, Status.infeasible, Status.unbounded)
CONVERGED, NOT_CONVERGED, INFEASIBLE, UNBOUNDED = range(4)


@dataclass(frozen=True)
class ConeProgram:
    """`min 1/2 x^T P x + q^T x`, `A x + s = b`, `s` in the product of `cones`, in float64 on the host.

    `P` is symmetric with both triangles, and `None` for a linear objective.
    """

    P: scipy.sparse.csc_array | None
    q: np.ndarray
    A: scipy.sparse.csc_array
    b: np.ndarray
    cones: tuple[AbstractCone, ...]


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
    package: ClassVar[str]

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
        tolerance = 1e-8 if self.tolerance is None else self.tolerance
        arrays, rest = eqx.partition(problem, eqx.is_array)
        n, m, dtype = problem.q.shape[0], problem.b.shape[0], problem.q.dtype
        shapes = (
            jax.ShapeDtypeStruct((n,), dtype),
            jax.ShapeDtypeStruct((m,), dtype),
            jax.ShapeDtypeStruct((), jnp.int32),
            jax.ShapeDtypeStruct((), jnp.int32),
        )

        def minimise(arrays: Any) -> tuple[Any, ...]:
            program = cone_program(eqx.combine(arrays, rest))
            if program is None:
                return np.full(n, np.nan), np.full(m, np.nan), NOT_CONVERGED, 0
            point = self.minimise(program, tolerance)
            return point.x, point.s - point.y, point.verdict, point.iterations

        x, v, verdict, iterations = lanes_on_host(minimise, shapes, arrays)
        z = problem.unknown(x, v)
        return self._judged(problem, z, verdict, iterations, tolerance)

    def _judged(self, problem: Any, z: Any, verdict: Array, iterations: Array, tolerance: float) -> Found:
        def norm(z: Any) -> Array:
            return jnp.linalg.norm(ravel_pytree(problem.residual(z))[0])

        found = norm(z)
        if ravel_pytree(z)[0].shape[0] <= 600:
            start = jax.tree.map(lambda leaf: jnp.where(verdict == CONVERGED, leaf, 0), z)
            polished = Newton(max_steps=4).run(problem, start).z
            better = (norm(polished) < found) & (verdict == CONVERGED)
            z = jax.tree.map(lambda new, old: jnp.where(better, new, old), polished, z)
            found = jnp.where(better, norm(polished), found)
        scale = 1 + jnp.linalg.norm(ravel_pytree(z)[0]) + jnp.linalg.norm(problem.q) + jnp.linalg.norm(problem.b)
        eps = float(jnp.finfo(problem.q.dtype).eps)
        near = found <= max(100 * tolerance, eps**0.75) * scale
        status = Status.converged
        for code, other in enumerate(VERDICTS):
            status = Status.where(verdict == code, other, status)
        status = Status.where((verdict == CONVERGED) & ~near, Status.not_converged, status)
        return Found(z, status, iterations)

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


def cone_program(problem: Any) -> ConeProgram | None:
    """The data of a problem with NumPy leaves, or `None` where they are not finite."""
    P = None if problem.P is None else problem.P.on_host()
    if P is not None:
        P = scipy.sparse.csc_array((P + P.T) / 2)
        P.sort_indices()
    A, q, b = problem.A.on_host(), np.asarray(problem.q, np.float64), np.asarray(problem.b, np.float64)
    parts = [q, b, A.data] + ([] if P is None else [P.data])
    if not all(np.isfinite(part).all() for part in parts):
        return None
    return ConeProgram(P, q, A, b, factors(problem.cone))
