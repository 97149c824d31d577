"""Adjoints: how the linear system of a derivative is solved (`icg.solve(..., adjoint=...)`)."""

from ..core import AbstractAdjoint as AbstractAdjoint
from .automatic import Automatic as Automatic
from .bias import AdjointBias as AdjointBias
from .bias import measure_bias as measure_bias
from .biased import JacobianFree as JacobianFree
from .biased import Neumann as Neumann
from .biased import OneStep as OneStep
from .biased import Phantom as Phantom
from .direct import Direct as Direct
from .direct import MinimumNorm as MinimumNorm
from .iterative import GMRES as GMRES
from .iterative import Anderson as Anderson
from .iterative import ConjugateGradient as ConjugateGradient
from .iterative import Measured as Measured
from .iterative import PeacemanRachford as PeacemanRachford
