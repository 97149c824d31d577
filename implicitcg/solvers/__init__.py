"""Solvers: ways to find a root. None of them enters a derivative."""

from . import external as external
from .interior_point import InteriorPoint as InteriorPoint
from .newton import Newton as Newton
from .proximal_gradient import ProximalGradient as ProximalGradient
from .working_set import WorkingSetNewton as WorkingSetNewton
from .working_set import working_set_sizes as working_set_sizes
