"""Solvers: ways to find a root. None of them enters a derivative."""

from . import external as external
from .composite.margin_interior_point import MarginInteriorPoint as MarginInteriorPoint
from .composite.proximal_gradient import ProximalGradient as ProximalGradient
from .composite.semismooth_newton import SemismoothNewton as SemismoothNewton
from .iterations.anderson import Anderson as Anderson
from .iterations.broyden import Broyden as Broyden
from .iterations.fixed_point_iteration import FixedPointIteration as FixedPointIteration
from .iterations.forward_backward import ForwardBackward as ForwardBackward
from .iterations.measured import Measured as Measured
from .iterations.newton import Newton as Newton
from .iterations.newton_krylov import NewtonKrylov as NewtonKrylov
from .iterations.peaceman_rachford import PeacemanRachford as PeacemanRachford
from .iterations.polished import Polished as Polished
from .lasso.active_set import ActiveSet as ActiveSet
from .quadratic.interior_point import InteriorPoint as InteriorPoint
from .quadratic.pivoting import Pivoting as Pivoting
