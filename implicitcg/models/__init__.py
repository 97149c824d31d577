"""Models: the problems that users call by name, made of equations."""

from .group_lasso import group_lasso as group_lasso
from .group_lasso import multitask_lasso as multitask_lasso
from .lasso import elastic_net as elastic_net
from .lasso import lasso as lasso
from .nonconvex_regression import mcp_regression as mcp_regression
from .nonconvex_regression import scad_regression as scad_regression
from .path import Path as Path
from .path import path as path
from .quadratic_layer import QuadraticLayer as QuadraticLayer
from .sparse_logistic import sparse_logistic as sparse_logistic
from .support_vectors import svm as svm
from .support_vectors import svr as svr
