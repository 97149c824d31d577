"""Moreau, by callback."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import numpy as np
import scipy.sparse

from ...cone_programs import ConePoint, ConeProgram
from .conic_library import INTERIOR_POINT_VERDICTS, NOT_CONVERGED, AbstractConicLibrary


class Moreau(AbstractConicLibrary):
    """Moreau's interior point method; only its forward solver is used, the derivative is ours.

    Args:
        tolerance: for the residuals and the duality gap, absolute and relative; `None` means 1e-5, and 1e-8 where
            Newton's method does not converge from there.
        max_steps: interior point iterations at the most.
        newton_steps: steps of Newton's method that follow, to rounding as a rule; 0 leaves the library's own point.
        options: further settings of `moreau.Settings`, as pairs `(name, value)`.

    Raises:
        ImportError: moreau is not installed. TypeError: a cone it does not know.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=200)
    newton_steps: int = eqx.field(static=True, default=5)
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())
    package: ClassVar[str] = "moreau"
    extra: ClassVar[str | None] = None  # it is in no group: its packages are for some machines only

    def minimise(self, program: ConeProgram, tolerance: float) -> ConePoint:
        moreau: Any = self.load()
        where, n = program.where, len(program.q)
        zero, orthant, rounds, matrices, exponential, power = where.by_kind(lower=False)
        order = np.concatenate([zero, orthant, rounds, exponential, power, matrices])
        cones = moreau.Cones(
            num_zero_cones=len(where.zero),
            num_nonneg_cones=len(where.orthant),
            so_cone_dims=[stop - start for start, stop in where.rounds],
            num_exp_cones=len(where.exponential),
            power_alphas=list(program.exponents),
            psd_dims=[order for _, _, order in where.matrices],
        )
        inner = moreau.IPMSettings(tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance)
        settings = moreau.Settings(solver="ipm", device="cpu", max_iter=self.max_steps, ipm_settings=inner)
        for name, value in self.options:
            setattr(settings, name, value)
        P = scipy.sparse.csr_array((n, n)) if program.P is None else scipy.sparse.csr_array(program.P)
        A = scipy.sparse.csr_array(program.A[order])
        solver = moreau.Solver(P, program.q, A, program.b[order], cones, settings)
        found = solver.solve()
        s, y = np.empty(where.size), np.empty(where.size)
        s[order], y[order] = found.s, found.z
        verdict = INTERIOR_POINT_VERDICTS.get(solver.info.status.name, NOT_CONVERGED)
        return ConePoint(np.asarray(found.x), s, y, verdict, int(solver.info.iterations))
