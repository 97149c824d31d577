"""Penalties, sets and smooth losses: the closed-form pieces that problems are composed of."""

from .penalty import L1 as L1
from .penalty import AbstractPenalty as AbstractPenalty
from .penalty import AbstractSeparable as AbstractSeparable
from .penalty import Branches as Branches
from .smooth import AbstractSmooth as AbstractSmooth
from .smooth import LeastSquares as LeastSquares
from .smooth import LinearModel as LinearModel
