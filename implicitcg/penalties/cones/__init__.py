"""Convex cones: each knows its dimension, its projection and its dual."""

from .cone import AbstractCone as AbstractCone
from .cone import Dual as Dual
from .exponential import Exponential as Exponential
from .orthant import Free as Free
from .orthant import Nonnegative as Nonnegative
from .orthant import Zero as Zero
from .power import Power as Power
from .product import Product as Product
from .second_order import SecondOrder as SecondOrder
from .semidefinite import PSD as PSD
