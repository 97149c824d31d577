"""The mechanism: problems, linearisations, the implicit rule, solutions."""

from .adjoint import GMRES as GMRES
from .adjoint import AbstractAdjoint as AbstractAdjoint
from .adjoint import Automatic as Automatic
from .adjoint import ConjugateGradient as ConjugateGradient
from .adjoint import Direct as Direct
from .adjoint import MinimumNorm as MinimumNorm
from .adjoint_bias import AdjointBias as AdjointBias
from .adjoint_bias import measure_bias as measure_bias
from .biased_adjoints import JacobianFree as JacobianFree
from .biased_adjoints import Neumann as Neumann
from .biased_adjoints import OneStep as OneStep
from .biased_adjoints import Phantom as Phantom
from .certificate import Certificate as Certificate
from .certificate import judge_positive_definite as judge_positive_definite
from .certify import certify as certify
from .equilibrium_adjoints import Anderson as Anderson
from .equilibrium_adjoints import Measured as Measured
from .equilibrium_adjoints import PeacemanRachford as PeacemanRachford
from .problem import AbstractInverse as AbstractInverse
from .problem import AbstractProblem as AbstractProblem
from .problem import AbstractSolver as AbstractSolver
from .problem import Found as Found
from .problem import Linearisation as Linearisation
from .solve import Solution as Solution
from .solve import solve as solve
