"""Problems: the equations, and the named models built of them."""

from .composite import Composite as Composite
from .fixed_point import FixedPoint as FixedPoint
from .fixed_point import Root as Root
from .fixed_point import fixed_point as fixed_point
from .fixed_point import root as root
from .lasso import lasso as lasso
from .quadratic_program import QP as QP
from .quadratic_program import qp as qp
