"""The exact path of the LASSO family, piece by piece, and the minimum of a criterion along it."""
