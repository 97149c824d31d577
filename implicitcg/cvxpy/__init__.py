"""Convex problems written in CVXPY as differentiable functions of their parameters; CVXPY is imported when used."""

from .layer import CvxpyLayer as CvxpyLayer
