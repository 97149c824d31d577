"""Solvers of equations and fixed points by iteration."""
