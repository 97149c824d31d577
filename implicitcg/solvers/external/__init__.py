"""Solvers outside JAX, by callback."""

from .host import HostSolver as HostSolver
