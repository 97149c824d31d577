"""Kinks of any JAX program: tie rules, detection, selections, sets of Jacobian elements."""

from .choice import choose as choose
from .choice import choose_ball as choose_ball
from .choice import choose_index as choose_index
from .choice import choose_order as choose_order
from .choice import choose_simplex as choose_simplex
from .ties import Seed as Seed
from .ties import with_ties as with_ties
from .conservative import conservative_jacobian as conservative_jacobian
from .jacobian_set import JacobianSet as JacobianSet
from .report import KinkReport as KinkReport
from .report import kinks as kinks
