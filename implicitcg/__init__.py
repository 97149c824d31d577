"""Differentiate through solvers of nonsmooth problems, with derivatives that are right or a clear word that they are not."""

from .base import SolveError as SolveError
from .base import Status as Status
from .core import Solution as Solution
from .core import solve as solve
from .problems import lasso as lasso
