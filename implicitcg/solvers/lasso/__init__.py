"""Solvers of the LASSO: a homotopy on slots, the walk along a path, momentum for what outgrows both."""
