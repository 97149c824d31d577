"""Problems: the equations, and the named models built of them."""

from .affine_equilibrium import AffineEquilibrium as AffineEquilibrium
from .affine_equilibrium import affine_equilibrium as affine_equilibrium
from .composite import Composite as Composite
from .composite import composite as composite
from .conic import Conic as Conic
from .conic import conic as conic
from .fixed_point import FixedPoint as FixedPoint
from .fixed_point import Root as Root
from .fixed_point import fixed_point as fixed_point
from .fixed_point import root as root
from .group_lasso import group_lasso as group_lasso
from .group_lasso import multitask_lasso as multitask_lasso
from .lasso import elastic_net as elastic_net
from .lasso import lasso as lasso
from .logistic import sparse_logistic as sparse_logistic
from .nonconvex import mcp_regression as mcp_regression
from .nonconvex import scad_regression as scad_regression
from .path import Path as Path
from .path import path as path
from .quadratic_layer import QuadraticLayer as QuadraticLayer
from .quadratic_program import QP as QP
from .quadratic_program import qp as qp
from .support_vectors import svm as svm
from .support_vectors import svr as svr
