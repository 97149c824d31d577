"""Norms as penalties, by their proximal maps."""

from .euclidean import L2 as L2
from .huber import Huber as Huber
from .maximum import LInf as LInf
from .nonnegative_l1 import NonnegativeL1 as NonnegativeL1
from .nuclear import NuclearNorm as NuclearNorm
