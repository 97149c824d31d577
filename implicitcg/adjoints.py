"""Adjoints: how the linear system of a derivative is solved (`icg.solve(..., adjoint=...)`)."""

from .core import GMRES as GMRES
from .core import AbstractAdjoint as AbstractAdjoint
from .core import Automatic as Automatic
from .core import ConjugateGradient as ConjugateGradient
from .core import Direct as Direct
from .core import MinimumNorm as MinimumNorm
