"""Equations: what can be solved, each with its linearisation, its inverse and its certificate."""

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
from .quadratic_program import QP as QP
from .quadratic_program import qp as qp
