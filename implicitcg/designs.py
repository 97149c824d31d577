"""Design matrices: sparse ones laid out once, and standardised ones that are never formed."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float

from .linear import AbstractDesign as AbstractDesign
from .linear import SparseDesign as SparseDesign
from .linear import StandardisedDesign as StandardisedDesign
from .linear import design


def sparse(X: Any) -> AbstractDesign:
    """A sparse matrix in the library's layout, for use in many solves.

    Models take SciPy and BCOO matrices as they are, and lay them out at every call. Lay one out once to solve many
    times, and pass it to a function under `jit` as an argument.

    Args:
        X: a SciPy sparse matrix or array of any format, or a BCOO matrix, `(n, p)`. Integers become floats; repeated
            entries add up.

    Returns:
        A pytree that every model of the LASSO family takes for `X`. Its memory is that of the entries and an index of
        32 bits each, and padding: a few percent, and up to two fifths where columns have a few entries only.

    Raises:
        TypeError: not sparse, complex, or a BCOO matrix with batch or dense dimensions.
        ValueError: no row or no column, NaN or infinite entries.

    Example:
        >>> import jax, jax.numpy as jnp, scipy.sparse, implicitcg as icg
        >>> X = icg.designs.sparse(scipy.sparse.identity(3))
        >>> jax.jit(lambda X, y: icg.solve(icg.lasso(X, y, 0.1)).value)(X, jnp.array([1.0, 0.0, -2.0]))
        Array([ 0.7,  0. , -1.7], dtype=float32)
    """
    made = design.design_matrix(X)
    if made.dense:
        raise TypeError(
            f"icg.designs.sparse takes a scipy.sparse matrix or a BCOO matrix, and got {type(X).__name__}; a dense "
            "matrix needs no preparation."
        )
    return made


def standardised(X: Any, sample_weight: Float[ArrayLike, " n"] | None = None) -> StandardisedDesign:
    """The design `Z_ij = (X_ij - m_j) / s_j` with the mean `m_j` and standard deviation `s_j` of every column.

    `Z` is never formed: a sparse `X` stays sparse and a dense one is not copied. It is differentiable in `X`, through
    the means and deviations too. A constant column has `s_j = 1`, as in scikit-learn's `StandardScaler`.

    Args:
        X: a design matrix `(n, p)`, dense or sparse.
        sample_weight: nonnegative weights `(n,)` of the means and deviations; equal ones by default.

    Returns:
        A design that every model of the LASSO family takes for `X`. `original_units(coef, intercept)` says what its
        solution is on the columns of `X`.

    Raises:
        ValueError: data of wrong shape, NaN or infinite entries.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([1.0, 3.0, 5.0])
        >>> Z = icg.designs.standardised(X)
        >>> fit = icg.solve(icg.lasso(Z, y, 0.1, fit_intercept=True)).value
        >>> coef, intercept = Z.original_units(*fit)
        >>> print(coef.round(4), intercept.round(4))
        [1.8775] -0.7551
    """
    X = design.design_matrix(X)
    if isinstance(X, StandardisedDesign):
        return standardised(X.X, sample_weight)
    X, _ = design.with_response(X, jnp.zeros(X.shape[:1], X.dtype))
    weights = None
    if sample_weight is not None:
        _, weights = design.with_response(X, sample_weight)
        weights = weights / jnp.sum(weights)
    centre = X.column_means(weights)
    variance = X.column_variances(weights)
    # rounding of the mean leaves a constant column a deviation of about sqrt(n) eps times its size
    constant = jnp.sqrt(variance) <= 8 * X.shape[0] ** 0.5 * jnp.finfo(X.dtype).eps * jnp.abs(centre)
    scale = jnp.where(constant, 1, jnp.sqrt(jnp.where(constant, 1, variance)))
    return StandardisedDesign(X, centre, scale)
