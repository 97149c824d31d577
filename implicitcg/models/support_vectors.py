"""Support vector machines, solved in their duals."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base import checks, labels
from ..equations.composite import Composite
from ..penalties import BoxedL1, DualQuadratic


def svm(
    X: Float[ArrayLike, "n p"],
    y: Float[ArrayLike, " n"],
    C: Float[ArrayLike, "*n"],
    *,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[DualQuadratic, BoxedL1]:
    """The linear support vector machine `min_w 1/2 ||w||^2 + sum_i C_i max(0, 1 - y_i x_i^T w)`.

    scikit-learn's `LinearSVC(loss="hinge", fit_intercept=False)`. The equation solved is that of the dual,
    `min_a 1/2 ||w||^2 - sum_i a_i` over `0 <= a <= C` with `w = sum_i a_i y_i x_i`. Its free coordinates are the
    samples on the margin, and its kinks the samples that reach the margin with `a_i` at a bound.

    Args:
        X: design matrix `(n, p)`. A constant column is an intercept that is penalised like the rest.
        y: labels `(n,)` in {-1, 1}; `2 * y - 1` turns 0 and 1 into these.
        C: cost of a violated margin, positive, a scalar or one per sample `(n,)`.
        sample_weight: one per sample, nonnegative; multiplies `C`.

    Returns:
        A problem for `icg.solve`. Its value is `w`, its dual `a`. Where the samples on the margin are linearly
        dependent (more of them than features, or duplicates), `a` is not unique, and derivatives are refused although
        `w` is.

    Raises:
        ValueError: wrong shapes, bad numbers, other labels than -1 and 1, each by name.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.array([[2.0, 0.0], [-1.0, 1.0]]), jnp.array([1.0, -1.0])
        >>> jnp.round(icg.solve(icg.svm(X, y, 10.0)).value, 4)
        Array([ 0.5, -0.5], dtype=float32)

    Source: Hsieh et al., A dual coordinate descent method for large-scale linear SVM, ICML 2008.
    """
    X, y = checks.design(X, y)
    y = labels.two_classes(y)
    upper = _costs(X, C, sample_weight)
    zero = jnp.zeros((), X.dtype)
    return Composite(DualQuadratic(X, jnp.ones_like(y), y), BoxedL1(zero, zero, upper))


def svr(
    X: Float[ArrayLike, "n p"],
    y: Float[ArrayLike, " n"],
    C: Float[ArrayLike, "*n"],
    epsilon: Float[ArrayLike, ""] = 0.0,
    *,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[DualQuadratic, BoxedL1]:
    """Linear support vector regression `min_w 1/2 ||w||^2 + sum_i C_i max(0, |y_i - x_i^T w| - epsilon)`.

    scikit-learn's `LinearSVR(loss="epsilon_insensitive", fit_intercept=False)`. The equation solved is that of the
    dual, `min_b 1/2 ||w||^2 - y^T b + epsilon ||b||_1` over `-C <= b <= C` with `w = X^T b`.

    Args:
        X: design matrix `(n, p)`.
        y: response `(n,)`.
        C: cost of a residual beyond `epsilon`, positive, a scalar or one per sample `(n,)`.
        epsilon: half the width of the tube in which residuals cost nothing, nonnegative.
        sample_weight: one per sample, nonnegative; multiplies `C`.

    Returns:
        A problem for `icg.solve`. Its value is `w`, its dual `b`; as for `svm`, derivatives are refused where the
        samples on the edge of the tube are linearly dependent.

    Raises:
        ValueError: wrong shapes, bad numbers, each by name.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.array([[1.0], [2.0]]), jnp.array([1.0, 3.0])
        >>> icg.solve(icg.svr(X, y, 10.0, 0.5)).value
        Array([1.25], dtype=float32)

    Source: Ho, Lin, Large-scale linear support vector regression, JMLR 2012.
    """
    X, y = checks.design(X, y)
    epsilon = checks.number(epsilon, "epsilon", X.dtype, least=0.0)
    upper = _costs(X, C, sample_weight)
    return Composite(DualQuadratic(X, y, jnp.ones_like(y)), BoxedL1(epsilon, -upper, upper))


def _costs(X: Array, C: Any, sample_weight: Any) -> Array:
    """The upper bounds of the multipliers."""
    C = checks.penalty_strength(C, X.shape[0], X.dtype, "C", per="sample")
    if checks.concretely(lambda value: (value > 0).all(), C) is False:
        raise ValueError("C is not positive; it is the cost of a violated margin, and a solution is 0 without it.")
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    return C if weights is None else C * weights
