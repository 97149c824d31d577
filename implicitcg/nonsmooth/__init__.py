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
from .primitives import abs as abs
from .primitives import clip as clip
from .primitives import hypot as hypot
from .primitives import leaky_relu as leaky_relu
from .primitives import max as max
from .primitives import maximum as maximum
from .primitives import median as median
from .primitives import minimum as minimum
from .primitives import norm as norm
from .primitives import positive_part as positive_part
from .primitives import relu as relu
from .primitives import sort as sort
from .primitives import where_positive as where_positive
from .spectral import psd_part as psd_part
from .spectral import spectral as spectral
