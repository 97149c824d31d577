"""Adjoints: how the linear system of a derivative is solved (`icg.solve(..., adjoint=...)`)."""

from .core import GMRES as GMRES
from .core import AbstractAdjoint as AbstractAdjoint
from .core import AdjointBias as AdjointBias
from .core import Anderson as Anderson
from .core import Automatic as Automatic
from .core import ConjugateGradient as ConjugateGradient
from .core import Direct as Direct
from .core import JacobianFree as JacobianFree
from .core import Measured as Measured
from .core import MinimumNorm as MinimumNorm
from .core import Neumann as Neumann
from .core import OneStep as OneStep
from .core import PeacemanRachford as PeacemanRachford
from .core import Phantom as Phantom
from .core import measure_bias as measure_bias
