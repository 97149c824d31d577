"""The LASSO."""

from __future__ import annotations

from jaxtyping import ArrayLike, Float

from ..base import checks
from ..penalties import L1, LeastSquares
from .composite import Composite


def lasso(
    X: Float[ArrayLike, "n p"], y: Float[ArrayLike, " n"], alpha: Float[ArrayLike, "*p"], *, fit_intercept: bool = False
) -> Composite:
    """The LASSO problem `min_w 1/(2n) ||y - X w - b||^2 + sum_j alpha_j |w_j|`, scikit-learn's scaling.

    Args:
        X: design matrix `(n, p)`.
        y: response `(n,)`.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative.
        fit_intercept: whether `b` is fitted (unpenalised). The solution's value is then `(w, b)`; otherwise `w`.

    Returns:
        A problem for `icg.solve`. Its dual is `r / n`, with `r` the residual.

    Raises:
        ValueError: wrong shapes, empty or non-finite data, negative or non-finite `alpha`, each by name.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> icg.solve(icg.lasso(X, y, 0.75)).value
        Array([0.5, 0. ], dtype=float32)

    Source: Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 1996.
    """
    X, y = checks.design(X, y)
    return Composite(LeastSquares(X, y, fit_intercept), L1(checks.penalty_strength(alpha, X.shape[1], X.dtype)))
