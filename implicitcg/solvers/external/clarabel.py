"""Clarabel, by callback."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
import scipy.sparse

from ...cone_programs import ConePoint, ConeProgram
from ...penalties.cones import PSD, Exponential, Nonnegative, SecondOrder, Zero
from .conic_library import INTERIOR_POINT_VERDICTS, NOT_CONVERGED, AbstractConicLibrary


class Clarabel(AbstractConicLibrary):
    """Clarabel's interior point method for cone programs with quadratic objectives, the default of `icg.conic`.

    Args:
        tolerance: for the residuals and the duality gap, absolute and relative; `None` means 1e-5, and 1e-8 where
            Newton's method does not converge from there.
        max_steps: interior point iterations at the most.
        newton_steps: steps of Newton's method that follow, to rounding as a rule; 0 leaves the library's own point.
        options: further settings of `clarabel.DefaultSettings`, as pairs `(name, value)`.

    Raises:
        ImportError: clarabel is not installed. TypeError: a cone it does not know.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.conic(None, [1.0], [[-1.0]], [-2.0], icg.cones.Nonnegative(1))
        >>> icg.solve(problem, icg.solvers.external.Clarabel(tolerance=1e-6)).value
        Array([2.], dtype=float32)

    Source: Goulart, Chen, Clarabel: an interior-point solver for conic programs with quadratic objectives, 2024.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    newton_steps: int = eqx.field(static=True, default=5)
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())
    package: ClassVar[str] = "clarabel"

    def minimise(self, program: ConeProgram, tolerance: float) -> ConePoint:
        clarabel, where = self.load(), program.where
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.max_iter = False, self.max_steps
        settings.presolve_enable = False  # it drops rows with large right-hand sides, whatever their multipliers
        for name in ("tol_gap_abs", "tol_gap_rel", "tol_feas"):
            setattr(settings, name, tolerance)
        for name, value in self.options:
            setattr(settings, name, value)
        n = program.q.shape[0]
        P = scipy.sparse.csc_array((n, n)) if program.P is None else scipy.sparse.triu(program.P, format="csc")
        cones = _translated(clarabel, where.kinds, tuple(program.exponents.tolist()))
        solver = clarabel.DefaultSolver(P, program.q, program.A, program.b, cones, settings)
        found = solver.solve()
        x, s, y = (np.asarray(part) for part in (found.x, found.s, found.z))
        return ConePoint(x, s, y, INTERIOR_POINT_VERDICTS.get(str(found.status), NOT_CONVERGED), found.iterations)


@lru_cache(maxsize=64)
def _translated(clarabel: Any, kinds: tuple[tuple[type, int, int], ...], exponents: tuple[float, ...]) -> list[Any]:
    cones, left = [], iter(exponents)
    for kind, dimension, order in kinds:
        if kind is Zero:
            cones.append(clarabel.ZeroConeT(dimension))
        elif kind is Nonnegative or dimension == 1:
            cones.append(clarabel.NonnegativeConeT(dimension))
        elif kind is SecondOrder:
            cones.append(clarabel.SecondOrderConeT(dimension))
        elif kind is PSD:
            cones.append(clarabel.PSDTriangleConeT(order))
        else:
            cones.append(clarabel.ExponentialConeT() if kind is Exponential else clarabel.PowerConeT(next(left)))
    return cones
