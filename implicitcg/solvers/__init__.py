"""Solvers: ways to find a root. None of them enters a derivative."""

from . import external as external
from .active_set import ActiveSet as ActiveSet
from .anderson import Anderson as Anderson
from .broyden import Broyden as Broyden
from .fixed_point_iteration import FixedPointIteration as FixedPointIteration
from .forward_backward import ForwardBackward as ForwardBackward
from .interior_point import InteriorPoint as InteriorPoint
from .margin_interior_point import MarginInteriorPoint as MarginInteriorPoint
from .measured import Measured as Measured
from .newton import Newton as Newton
from .newton_krylov import NewtonKrylov as NewtonKrylov
from .peaceman_rachford import PeacemanRachford as PeacemanRachford
from .pivoting import Pivoting as Pivoting
from .polished import Polished as Polished
from .proximal_gradient import ProximalGradient as ProximalGradient
from .quadratic_loss import QuadraticLoss as QuadraticLoss
from .quadratic_loss import gap_tolerance as gap_tolerance
from .quadratic_loss import needed_strength as needed_strength
from .regularisation_path import walk_path as walk_path
from .semismooth_newton import SemismoothNewton as SemismoothNewton
from .working_set import WorkingSetNewton as WorkingSetNewton
from .working_set import face_sizes as face_sizes
from .working_set import working_set_sizes as working_set_sizes
