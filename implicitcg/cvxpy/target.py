"""The form in which CVXPY is asked for the problem: a cone program whose data stay functions of the parameters."""

from __future__ import annotations

from typing import Any

import cvxpy.settings as settings
from cvxpy.constraints.exponential import ExpCone
from cvxpy.constraints.power import PowCone3D
from cvxpy.constraints.psd import SvecPSD
from cvxpy.constraints.second_order import SOC
from cvxpy.reductions.solution import Solution
from cvxpy.reductions.solvers import utilities
from cvxpy.reductions.solvers.conic_solvers.conic_solver import ConicSolver
from cvxpy.utilities.psd_utils import TriangleKind


class TargetSolver(ConicSolver):
    """A solver in the eyes of CVXPY, which takes what `icg.conic` takes and solves nothing.

    It accepts quadratic objectives and Clarabel's cones in Clarabel's order, power cones of three numbers only. Unlike
    CVXPY's solvers it does not evaluate the data, so that no parameter needs a value, and its `invert` reads
    multipliers only.
    """

    SUPPORTED_CONSTRAINTS = [*ConicSolver.SUPPORTED_CONSTRAINTS, SOC, ExpCone, PowCone3D, SvecPSD]  # noqa: RUF012
    PSD_TRIANGLE_KIND = TriangleKind.UPPER
    PSD_SQRT2_SCALING = True
    EXP_CONE_ORDER = (0, 1, 2)

    def name(self) -> str:
        """A name that no solver of CVXPY has."""
        return "IMPLICITCG"

    def import_solver(self) -> None:
        """Nothing to import."""

    def cite(self, data: Any) -> str:
        """Nothing to cite."""
        del data
        return ""

    def supports_quad_obj(self) -> bool:
        """Quadratic objectives stay quadratic."""
        return True

    def apply(self, problem: Any) -> tuple[dict, dict]:
        _, data, inverse = self._prepare_data_and_inv_data(problem)
        return data, inverse

    def solve_via_data(self, *args: Any, **kwargs: Any) -> None:
        """Not a solver."""
        raise NotImplementedError("This form of a problem is for icg.CvxpyLayer; it is not solved by CVXPY.")

    def invert(self, solution: Any, inverse_data: Any) -> Solution:
        """The multipliers of every constraint from `solution = (x, y)`, those of the cone program."""
        x, y = solution
        zero = inverse_data[self.DIMS].zero
        extract = utilities.extract_dual_value
        duals = utilities.get_dual_values(y[:zero], extract, inverse_data[self.EQ_CONSTR])
        duals |= utilities.get_dual_values(y[zero:], extract, inverse_data[self.NEQ_CONSTR])
        return Solution(settings.OPTIMAL, 0.0, {inverse_data[self.VAR_ID]: x}, duals, {})
