"""Why a layer failed at known parameters, in the words of the user's problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import SolveError, Status, concrete_value
from ..cone_programs import cone_program
from ..equations import Conic
from ..solvers.external import Clarabel

if TYPE_CHECKING:
    from .canonical import Canonical

SHARE = 1e-4
"""Entries of a ray smaller than this share of the largest are rounding."""


def detail(
    problem: Conic, canonical: Canonical, constraints: Sequence[str], variables: Sequence[str], status: Status
) -> str:
    """What clashes where the problem is infeasible, and what runs away where it is unbounded; else where to look.

    An infeasible cone program has a ray of multipliers that proves it, and an unbounded one a ray of points; the
    constraints and variables whose entries are not zero there are those to blame.
    """
    if status == Status.infeasible or status == Status.unbounded:
        program = cone_program(*problem.data())
        if program is None:
            return ""
        point = Clarabel().minimise(program, 1e-8)
        if status == Status.infeasible:
            rows = _large(point.y)
            named = [f"constraint {i}, `{constraints[i]}`" for i in np.unique(canonical.row_owner[rows]) if i >= 0]
            loose = np.unique(program.A.tocsr()[rows[canonical.row_owner[rows] < 0]].indices)
            bounds = [f"bounds on {variables[i]!r}" for i in np.unique(canonical.column_owner[loose]) if i >= 0]
            return _sentence("These clash: ", named + bounds)
        columns = np.unique(canonical.column_owner[_large(point.x)])
        return _sentence("What can grow without bound: ", [repr(variables[i]) for i in columns if i >= 0])
    if status == Status.singular:
        return "`layer.certificate(...)` takes the same arguments as the call."
    if status == Status.not_converged:
        return "Options reach the solver by `solver_args`, as in `solver_args={'max_iter': 500}`."
    return ""


def _large(ray: np.ndarray) -> np.ndarray:
    size = np.abs(ray)
    return np.flatnonzero(size > SHARE * size.max(initial=0.0))


def _sentence(start: str, items: Sequence[Any]) -> str:
    return start + "; ".join(items) + "." if items else ""


def explained(error: SolveError, status: Status, element: tuple[int, ...], more: str) -> SolveError:
    """`error` with what is known of the element of the batch that failed."""
    where = f"In element {element[0] if len(element) == 1 else element} of the batch. " if element else ""
    return SolveError(status, where + more) if where or more else error


def concrete(arrays: Sequence[Any]) -> list[np.ndarray] | None:
    """The values of arrays, also under eager differentiation, or `None` where one is abstract."""
    values = [concrete_value(array) for array in arrays]
    return None if any(value is None for value in values) else [np.asarray(value) for value in values]
