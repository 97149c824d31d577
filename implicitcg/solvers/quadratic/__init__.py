"""Solvers of quadratic programs."""
