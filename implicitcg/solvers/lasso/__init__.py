"""Solvers of the LASSO: homotopy on slots, working sets, the walk along a path."""
