"""Differentiate through solvers of nonsmooth problems: derivatives that are right, or a word that they are not."""

from typing import TYPE_CHECKING

from . import adjoints as adjoints
from . import cones as cones
from . import deq as deq
from . import designs as designs
from . import flow as flow
from . import nonsmooth as nonsmooth
from . import optim as optim
from . import penalties as penalties
from . import plots as plots
from . import projections as projections
from . import prox as prox
from . import solvers as solvers
from . import sorting as sorting
from . import tuning as tuning
from . import unroll as unroll
from .base import SolveError as SolveError
from .base import Status as Status
from .core import AbstractProblem as AbstractProblem
from .core import Certificate as Certificate
from .core import Solution as Solution
from .cvxpy import CvxpyLayer as CvxpyLayer
from .equations import affine_equilibrium as affine_equilibrium
from .equations import composite as composite
from .equations import conic as conic
from .equations import fixed_point as fixed_point
from .equations import qp as qp
from .equations import root as root
from .models import QuadraticLayer as QuadraticLayer
from .models import elastic_net as elastic_net
from .models import group_lasso as group_lasso
from .models import lasso as lasso
from .models import mcp_regression as mcp_regression
from .models import multitask_lasso as multitask_lasso
from .models import path as path
from .models import scad_regression as scad_regression
from .models import sparse_logistic as sparse_logistic
from .models import svm as svm
from .models import svr as svr
from .nonsmooth import JacobianSet as JacobianSet
from .nonsmooth import KinkReport as KinkReport
from .nonsmooth import conservative_jacobian as conservative_jacobian
from .nonsmooth import kinks as kinks
from .solving import certify as certify
from .solving import solve as solve
from .tuning import tune as tune

if TYPE_CHECKING:
    from . import sklearn as sklearn


def __getattr__(name: str) -> object:
    """The room `sklearn`, which is imported when it is asked for, and scikit-learn with it."""
    if name == "sklearn":
        from importlib import import_module

        return import_module("implicitcg.sklearn")
    raise AttributeError(f"module 'implicitcg' has no attribute {name!r}")
