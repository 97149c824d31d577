"""The LASSO and the elastic net."""

from __future__ import annotations

from jaxtyping import ArrayLike, Float

from ..base import checks
from ..equations.composite import Composite
from ..linear import DesignLike, design
from ..penalties import L1, ElasticNet, LeastSquares


def lasso(
    X: DesignLike,
    y: Float[ArrayLike, " n"],
    alpha: Float[ArrayLike, "*p"],
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[LeastSquares, L1]:
    """The LASSO problem `min_w 1/(2n) ||y - X w - b||^2 + sum_j alpha_j |w_j|`, scikit-learn's scaling.

    Args:
        X: design matrix `(n, p)`, dense or sparse (`scipy.sparse`, `BCOO`, or one of `icg.designs`).
        y: response `(n,)`.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative.
        fit_intercept: whether `b` is fitted (unpenalised). The solution's value is then `(w, b)`; otherwise `w`.
        sample_weight: one per sample `(n,)`, nonnegative; they are divided by their sum, so that equal weights change
            nothing.

    Returns:
        A problem for `icg.solve`. Its dual is `r / n`, with `r` the residual (times the weights, where given).

    Raises:
        ValueError: wrong shapes, empty or non-finite data, negative or non-finite `alpha`, bad weights, each by name.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> icg.solve(icg.lasso(X, y, 0.75)).value
        Array([0.5, 0. ], dtype=float32)

    Source: Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 1996.
    """
    X, y = design.with_response(X, y)
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    penalty = L1(checks.penalty_strength(alpha, X.shape[1], X.dtype))
    return Composite(LeastSquares(X, y, fit_intercept, weights), penalty)


def elastic_net(
    X: DesignLike,
    y: Float[ArrayLike, " n"],
    alpha: Float[ArrayLike, "*p"],
    l1_ratio: Float[ArrayLike, ""] = 0.5,
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[LeastSquares, ElasticNet]:
    """The elastic net `1/(2n) ||y - X w - b||^2 + alpha l1_ratio ||w||_1 + alpha (1 - l1_ratio)/2 ||w||^2`.

    Args:
        X: design matrix `(n, p)`, dense or sparse (`scipy.sparse`, `BCOO`, or one of `icg.designs`).
        y: response `(n,)`.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative.
        l1_ratio: the share of the l1 norm, in [0, 1].
        fit_intercept: as for `lasso`.
        sample_weight: as for `lasso`.

    Returns:
        A problem for `icg.solve`, with the value and the dual of `lasso`.

    Raises:
        ValueError: as for `lasso`; `l1_ratio` outside [0, 1].

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.eye(2), jnp.array([2.0, 1.0])
        >>> icg.solve(icg.elastic_net(X, y, 1.0, 0.5)).value
        Array([0.5, 0. ], dtype=float32)

    Source: Zou, Hastie, Regularization and variable selection via the elastic net, JRSS B 2005.
    """
    X, y = design.with_response(X, y)
    alpha = checks.penalty_strength(alpha, X.shape[1], X.dtype)
    ratio = checks.number(l1_ratio, "l1_ratio", X.dtype, least=0.0)
    if checks.concretely(lambda value: value <= 1, ratio) is False:
        raise ValueError(f"l1_ratio is {float(ratio):g}; it is the share of the l1 norm, between 0 and 1.")
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    return Composite(LeastSquares(X, y, fit_intercept, weights), ElasticNet(alpha * ratio, alpha * (1 - ratio)))
