"""SCS, by callback."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import numpy as np
import scipy.sparse

from ...cone_programs import ConePoint, ConeProgram
from .conic_library import CONVERGED, INFEASIBLE, NOT_CONVERGED, UNBOUNDED, AbstractConicLibrary


class SCS(AbstractConicLibrary):
    """The splitting conic solver: cheap steps and many of them, for programs too large for an interior point method.

    Args:
        tolerance: for the residuals and the duality gap, absolute and relative; `None` means 1e-6, and 1e-9 where
            Newton's method does not converge from there.
        max_steps: iterations at the most.
        newton_steps: steps of Newton's method that follow, to rounding as a rule; 0 leaves the library's own point.
        options: further settings of `scs.SCS`, as pairs `(name, value)`.

    Raises:
        ImportError: scs is not installed. TypeError: a cone it does not know.

    Source: O'Donoghue, Chu, Parikh, Boyd, Conic optimization via operator splitting and homogeneous self-dual
    embedding, 2016.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=100_000)
    newton_steps: int = eqx.field(static=True, default=5)
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())
    package: ClassVar[str] = "scs"
    handover: ClassVar[tuple[float, ...]] = (1e-6, 1e-9)

    def minimise(self, program: ConeProgram, tolerance: float) -> ConePoint:
        scs, where = self.load(), program.where
        order = np.concatenate(where.by_kind(lower=True))
        data = {"A": scipy.sparse.csc_matrix(program.A[order]), "b": program.b[order], "c": program.q}
        if program.P is not None:
            data["P"] = scipy.sparse.csc_matrix(scipy.sparse.triu(program.P))
        cone = {
            "z": len(where.zero),
            "l": len(where.orthant),
            "q": [stop - start for start, stop in where.rounds],
            "s": [order for _, _, order in where.matrices],
            "ep": len(where.exponential),
            "p": list(program.exponents),
        }
        cone = {kind: size for kind, size in cone.items() if size}
        settings = {"eps_abs": tolerance, "eps_rel": tolerance, "max_iters": self.max_steps, "verbose": False}
        found = scs.SCS(data, cone, **(settings | dict(self.options))).solve()
        s, y = np.empty(where.size), np.empty(where.size)
        s[order], y[order] = found["s"], found["y"]
        verdict = _VERDICTS.get(found["info"]["status_val"], NOT_CONVERGED)
        return ConePoint(np.asarray(found["x"]), s, y, verdict, found["info"]["iter"])


_VERDICTS = {1: CONVERGED, 2: CONVERGED, -1: UNBOUNDED, -2: INFEASIBLE, -6: UNBOUNDED, -7: INFEASIBLE}
