"""Convex sets: each knows its projection."""

from .affine import AffineSet as AffineSet
from .ball import L2Ball as L2Ball
from .box import Box as Box
from .plane import Halfspace as Halfspace
from .plane import Hyperplane as Hyperplane
from .section import BoxSection as BoxSection
from .section import CappedSimplex as CappedSimplex
from .set import AbstractSet as AbstractSet
from .simplex import L1Ball as L1Ball
from .simplex import Simplex as Simplex
from .transport import Birkhoff as Birkhoff
from .transport import Transport as Transport
