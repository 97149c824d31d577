"""Sparse logistic regression."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float

from ..base import checks, labels
from ..equations.composite import Composite
from ..linear import DesignLike, design
from ..penalties import L1, Logistic


def sparse_logistic(
    X: DesignLike,
    y: Float[ArrayLike, " n"],
    alpha: Float[ArrayLike, "*p"],
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[Logistic, L1]:
    """Logistic regression with an l1 penalty, `min_w 1/n sum_i log(1 + exp(-y_i (x_i^T w + b))) + sum_j alpha_j |w_j|`.

    scikit-learn's `LogisticRegression` with an l1 penalty and `C = 1 / (n alpha)`.

    Args:
        X: design matrix `(n, p)`, dense or sparse (`scipy.sparse`, `BCOO`, or one of `icg.designs`).
        y: labels `(n,)` in {-1, 1}; `2 * y - 1` turns 0 and 1 into these.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative. With 0 and classes that a hyperplane separates
            there is no solution, and the status says so.
        fit_intercept: whether `b` is fitted (unpenalised). The solution's value is then `(w, b)`; otherwise `w`.
        sample_weight: one per sample `(n,)`, nonnegative; they are divided by their sum.

    Returns:
        A problem for `icg.solve`. Its dual is `y_i / (n (1 + exp(margin_i)))`.

    Raises:
        ValueError: wrong shapes, bad numbers, other labels than -1 and 1, each by name.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.array([[2.0], [1.0], [-1.0], [0.5]]), jnp.array([1.0, 1.0, -1.0, -1.0])
        >>> icg.solve(icg.sparse_logistic(X, y, 0.1)).value
        Array([1.077...], dtype=float32)

    Source: Koh, Kim, Boyd, An interior-point method for large-scale l1-regularized logistic regression, JMLR 2007.
    """
    X, y = design.with_response(X, y)
    y = labels.two_classes(y)
    alpha = checks.penalty_strength(alpha, X.shape[1], X.dtype)
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    if fit_intercept:  # the intercept is the last coordinate, and free
        alpha = jnp.append(jnp.broadcast_to(alpha, (X.shape[1],)), jnp.zeros(1, X.dtype))
    return Composite(Logistic(X, y, fit_intercept, weights), L1(alpha))
