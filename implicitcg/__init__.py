"""Differentiate through solvers of nonsmooth problems: derivatives that are right, or a word that they are not."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import adjoints as adjoints
    from . import base as base
    from . import cones as cones
    from . import core as core
    from . import cvxpy as cvxpy
    from . import deq as deq
    from . import designs as designs
    from . import equations as equations
    from . import flow as flow
    from . import linear as linear
    from . import models as models
    from . import nonsmooth as nonsmooth
    from . import optim as optim
    from . import penalties as penalties
    from . import plots as plots
    from . import projections as projections
    from . import prox as prox
    from . import sklearn as sklearn
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

# The same once more, for the interpreter: a room is imported when it, or a name of it, is first asked for. Importing
# every room takes as long again as importing jax and Equinox, and no program needs them all.
_NAMES = {
    "": """
        adjoints base cones core cvxpy deq designs equations flow linear models nonsmooth optim penalties plots
        projections prox sklearn solvers sorting tuning unroll
    """,
    "base": "SolveError Status",
    "core": "AbstractProblem Certificate Solution",
    "cvxpy": "CvxpyLayer",
    "equations": "affine_equilibrium composite conic fixed_point qp root",
    "models": """
        QuadraticLayer elastic_net group_lasso lasso mcp_regression multitask_lasso path scad_regression sparse_logistic
        svm svr
    """,
    "nonsmooth": "JacobianSet KinkReport conservative_jacobian kinks",
    "solving": "certify solve",
    "tuning": "tune",
}
_HOMES = {name: room for room, names in _NAMES.items() for name in names.split()}
# `from implicitcg import *` must not fail where scikit-learn is missing
__all__ = sorted(set(_HOMES) - {"sklearn"})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """A room, or what a room publishes at the door; from then on it is found without this function."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = _HOMES[name]
    module = import_module(f"{__name__}.{room or name}")
    found = globals()[name] = getattr(module, name) if room else module
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
