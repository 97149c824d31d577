"""Differentiate through solvers of nonsmooth problems: derivatives that are right, or a word that they are not."""

from . import adjoints as adjoints
from . import nonsmooth as nonsmooth
from . import penalties as penalties
from . import plots as plots
from . import solvers as solvers
from . import tuning as tuning
from .base import SolveError as SolveError
from .base import Status as Status
from .core import AbstractProblem as AbstractProblem
from .core import Certificate as Certificate
from .core import Solution as Solution
from .core import certify as certify
from .core import solve as solve
from .nonsmooth import JacobianSet as JacobianSet
from .nonsmooth import KinkReport as KinkReport
from .nonsmooth import conservative_jacobian as conservative_jacobian
from .nonsmooth import kinks as kinks
from .problems import fixed_point as fixed_point
from .problems import lasso as lasso
from .problems import qp as qp
from .problems import root as root
from .tuning import tune as tune
