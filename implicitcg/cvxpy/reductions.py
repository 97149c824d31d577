"""What CVXPY's reductions do to parameters, variables and multipliers, as matrices."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from .maps import matrix_of

if TYPE_CHECKING:
    import cvxpy

Sparse = scipy.sparse.csr_array


@dataclasses.dataclass(frozen=True)
class Reductions:
    """The chain of reductions of one problem and the cone program at its end.

    The steps for parameters and variables are linear, except that of geometric programs (`Dgp2Dcp`), which comes first
    and takes logarithms: `logarithms` is that step, or `None`, and `steps` are those after it.
    """

    chain: Any
    inverse_data: Any
    program: Any

    @property
    def logarithms(self) -> Any:
        """The step from a geometric to a convex program, where there is one."""
        from cvxpy.reductions.dgp2dcp.dgp2dcp import Dgp2Dcp

        return next((step for step in self.chain.reductions if isinstance(step, Dgp2Dcp)), None)

    @property
    def steps(self) -> list[Any]:
        """The linear steps."""
        every = self.chain.reductions
        return every if self.logarithms is None else every[every.index(self.logarithms) + 1 :]

    def from_parameter(self, parameter: cvxpy.Parameter, part: str) -> Sparse:
        """The matrix from one part (`real`, `imag`, `log`) of a parameter to the parameters of the cone program.

        A symmetric parameter enters by its symmetric part, so that its gradient is symmetric.
        """
        key = parameter.id
        if part == "log":
            key = self.logarithms.canon_methods._parameters[parameter].id
        columns, sizes = self.program.param_id_to_col, self.program.param_id_to_size
        unit = 1j if part == "imag" else 1.0

        def lowered(values: np.ndarray) -> np.ndarray:
            found = {key: unit * values.reshape(parameter.shape)}
            for step in self.steps:
                found = step.param_forward(found)
            vector = np.zeros(self.program.total_param_size + 1)
            for identity, value in found.items():
                if identity in sizes:
                    start = columns[identity]
                    vector[start : start + sizes[identity]] = np.real(_dense(value)).ravel(order="F")
            return vector

        matrix = matrix_of(lowered, parameter.size)
        kinds = [name for name, declared in parameter.attributes.items() if declared]
        if {"symmetric", "PSD", "NSD", "hermitian"} & set(kinds):
            order = np.arange(parameter.size).reshape(parameter.shape).swapaxes(-1, -2).ravel()
            sign = -1 if part == "imag" else 1
            matrix = (matrix + sign * matrix[:, order]) / 2
        return Sparse(matrix)

    def to_variable(self, variable: cvxpy.Variable, optional: bool = False) -> list[Sparse]:
        """The matrices from the unknown of the cone program to a variable, its real and any imaginary part.

        In a geometric program they lead to its logarithm. A variable that drops out is refused unless `optional`.
        """
        key = variable.id
        if self.logarithms is not None:
            key = self.logarithms.canon_methods._variables[variable].id

        def recovered(x: np.ndarray) -> np.ndarray | None:
            found = self.program.split_solution(x)
            for step in reversed(self.steps):
                found = step.var_forward(found)
            return _dense(found[key]) if key in found else None

        if variable.size and recovered(np.ones(self.program.x.size)) is None:
            if optional:
                return []
            raise ValueError(
                f"The variable {variable.name()!r} drops out of the problem when it is brought to standard form, so "
                "that it has no optimal value. Leave it out of `variables`, or let the objective depend on it."
            )
        return self._matrices(recovered, self.program.x.size, variable)

    def to_multiplier(self, constraint: Any, index: int) -> list[Sparse]:
        """The matrices from the multipliers of the cone program to `constraint.dual_variables[index]`."""
        kept = [dual.value for dual in constraint.dual_variables]

        def recovered(y: np.ndarray) -> np.ndarray | None:
            solution = (np.zeros(self.program.x.size), y)
            duals = self.chain.invert(solution, self.inverse_data).dual_vars
            if constraint.id not in duals:
                return None
            try:
                constraint.save_dual_value(duals[constraint.id])
                return constraint.dual_variables[index].value
            finally:
                for dual, value in zip(constraint.dual_variables, kept, strict=True):
                    dual.save_value(value)

        dual = constraint.dual_variables[index]
        if recovered(np.zeros(self.program.constr_size)) is None:
            raise ValueError(f"CVXPY recovers no multipliers for constraints of the kind of `{constraint}`.")
        return self._matrices(recovered, self.program.constr_size, dual)

    def rows(self, constraint: Any) -> slice | None:
        """The rows of the cone program that a constraint of the user became, where it is one block of them."""
        identity = self.chain.compose_constr_id_map().get(constraint.id, constraint.id)
        start = 0
        for block in self.program.constraints:
            if block.id == identity:
                return slice(start, start + block.size)
            start += block.size
        return None

    @staticmethod
    def _matrices(function: Any, size: int, leaf: Any) -> list[Sparse]:
        def shaped(v: np.ndarray) -> np.ndarray:
            return np.reshape(np.asarray(function(v)), leaf.shape, order="F")

        if not leaf.size:
            return [Sparse((0, size))]
        real = matrix_of(lambda v: np.real(shaped(v)), size)
        if not np.iscomplexobj(shaped(np.ones(size))):
            return [real]
        return [real, matrix_of(lambda v: np.imag(shaped(v)), size)]


def _dense(value: Any) -> np.ndarray:
    return np.asarray(value.toarray() if scipy.sparse.issparse(value) else value)
