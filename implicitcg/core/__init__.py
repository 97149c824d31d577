"""The mechanism: problems, linearisations, the implicit rule, solutions."""

from ..linear import AbstractInverse as AbstractInverse
from ..linear import Facts as Facts
from .certificate import Certificate as Certificate
from .certificate import judge_positive_definite as judge_positive_definite
from .contracts import AbstractAdjoint as AbstractAdjoint
from .contracts import AbstractSolver as AbstractSolver
from .contracts import Found as Found
from .linearisation import Linearisation as Linearisation
from .problem import AbstractProblem as AbstractProblem
from .rule import undefined_where as undefined_where
from .rule import without_solution as without_solution
from .solution import Solution as Solution
