"""Solvers of a smooth loss plus a penalty."""
