"""Solvers outside JAX, by callback. A library is imported when its solver is first used."""

from .celer import Celer as Celer
from .clarabel import Clarabel as Clarabel
from .host import HostSolver as HostSolver
from .jaxopt_solver import Jaxopt as Jaxopt
from .jaxopt_solver import jaxopt as jaxopt
from .moreau import Moreau as Moreau
from .scikit_learn import ScikitLearn as ScikitLearn
from .scs import SCS as SCS
from .skglm import Skglm as Skglm
