"""Factors of sparse matrices on the host, by SuperLU, which is only handed what it can factorise."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg

BACKWARD = 1e-8  # the residual that factors may leave, relative to matrix and solution; good ones leave a rounding


def sparse_factors(matrix: Any, **options: Any) -> Any | None:
    """SuperLU's factors of a square matrix, with their `solve`, or `None` where it has none that can be trusted.

    SuperLU reads memory that nobody wrote where the pattern of a matrix, whatever its entries, has no nonzero diagonal
    in any order of the rows: an empty column is one. Then it says singular, or returns numbers, or kills the process.
    So the pattern is judged here, by a maximum matching of rows and columns; and what SuperLU says of the entries is
    judged by what is left of an equation that is solved with the factors.

    Factors may be shared by threads: `solve` writes into its own memory only.

    Args:
        matrix: `(n, n)`, in SciPy's compressed columns.
        options: those of `scipy.sparse.linalg.splu`.
    """
    if not np.isfinite(matrix.data).all() or structural_rank(matrix) < matrix.shape[0]:
        return None
    try:
        factors = scipy.sparse.linalg.splu(matrix, **options)
    except RuntimeError:  # a pivot that is exactly zero
        return None
    probe = np.cos(1.0 + np.arange(matrix.shape[0]))
    found = factors.solve(probe)
    left = float(np.abs(matrix @ found - probe).max(initial=0))
    rows, size = float(np.abs(matrix).sum(axis=1).max(initial=0)), float(np.abs(found).max(initial=0))
    return factors if left <= BACKWARD * (rows * size + 1) < np.inf else None  # false for NaN, too


def structural_rank(matrix: Any) -> int:
    """The largest rank that a matrix may have by where its entries are that are not zero."""
    pattern = matrix.copy()
    pattern.eliminate_zeros()  # a stored zero is no entry
    return int(scipy.sparse.csgraph.structural_rank(pattern))
