"""The one table that says which solver a problem gets by default."""

from __future__ import annotations

from typing import Any

from ..core import AbstractProblem, AbstractSolver
from ..equations import QP, AffineEquilibrium, Composite, Conic
from ..penalties import AbstractBlocks
from .composite.margin_interior_point import MarginInteriorPoint
from .composite.proximal_gradient import ProximalGradient
from .composite.semismooth_newton import SemismoothNewton
from .external import Clarabel
from .iterations.newton import Newton
from .iterations.peaceman_rachford import PeacemanRachford
from .lasso.active_set import ActiveSet
from .quadratic.pivoting import Pivoting

BY_KIND: dict[type[AbstractProblem], type[AbstractSolver[Any]]] = {
    QP: Pivoting,  # and an interior point method for what it leaves
    Conic: Clarabel,
    AffineEquilibrium: PeacemanRachford,
}


def default_solver(problem: AbstractProblem) -> AbstractSolver[Any]:
    """The solver that `problem` names itself, or that of the table; Newton's method for any other equation."""
    named = problem.default_solver()
    if named is not None:
        return named
    if isinstance(problem, Composite):
        return _of_composite(problem)
    return next((solver() for kind, solver in BY_KIND.items() if isinstance(problem, kind)), Newton())


def _of_composite(problem: Composite) -> AbstractSolver[Any]:
    """Those of the LASSO and of support vectors where they fit; semismooth Newton; else proximal gradient."""
    if ActiveSet().misfit(problem) is None:
        return ActiveSet()
    # its systems are of the order of the features, those of Newton's method of the free samples
    if MarginInteriorPoint().misfit(problem) is None and problem.rank() < problem.smooth.dimension()[0]:
        return MarginInteriorPoint()
    return SemismoothNewton() if isinstance(problem.penalty, AbstractBlocks) else ProximalGradient()
