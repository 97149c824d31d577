"""Penalties on groups of coefficients: the group LASSO and the LASSO of several tasks."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float, Int

from ..base import checks, labels
from ..equations.composite import Composite
from ..linear import DesignLike, design
from ..penalties import GroupL2, LeastSquares, MultitaskLeastSquares


def group_lasso(
    X: DesignLike,
    y: Float[ArrayLike, " n"],
    alpha: Float[ArrayLike, "*g"],
    groups: Int[ArrayLike, " p"],
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[LeastSquares, GroupL2]:
    """The group LASSO `min_w 1/(2n) ||y - X w - b||^2 + sum_g alpha_g sqrt(size_g) ||w_g||`.

    Args:
        X: design matrix `(n, p)`, dense or sparse (`scipy.sparse`, `BCOO`, or one of `icg.designs`).
        y: response `(n,)`.
        alpha: penalty, a scalar or one per group `(g,)` in the order of the labels, nonnegative.
        groups: the label of each feature's group, consecutive integers `(p,)`; concrete, since they decide shapes.
        fit_intercept: as for `icg.lasso`.
        sample_weight: as for `icg.lasso`.

    Returns:
        A problem for `icg.solve`. Its dual is `r / n`, with `r` the residual.

    Raises:
        ValueError: wrong shapes, bad numbers, labels that are no integers or leave a group empty, each by name.
        TypeError: traced labels.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.sqrt(3.0) * jnp.eye(3), jnp.sqrt(3.0) * jnp.array([3.0, 4.0, 1.0])
        >>> icg.solve(icg.group_lasso(X, y, 2.5 / jnp.sqrt(2.0), [0, 0, 1])).value
        Array([1.5, 2. , 0. ], dtype=float32)

    Source: Yuan, Lin, Model selection and estimation in regression with grouped variables, JRSS B 2006.
    """
    X, y = design.with_response(X, y)
    label, sizes = labels.groups(groups, X.shape[1])
    alpha = checks.penalty_strength(alpha, len(sizes), X.dtype, per="group")
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    penalty = GroupL2(alpha, label, jnp.sqrt(jnp.asarray(sizes, X.dtype)))
    return Composite(LeastSquares(X, y, fit_intercept, weights), penalty)


def multitask_lasso(
    X: DesignLike,
    Y: Float[ArrayLike, "n t"],
    alpha: Float[ArrayLike, "*p"],
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[MultitaskLeastSquares, GroupL2]:
    """The multitask LASSO `min_W 1/(2n) ||Y - X W - 1 b^T||^2 + sum_j alpha_j ||W_j||`, `W_j` the rows of `W`.

    Args:
        X: design matrix `(n, p)`, dense or sparse (`scipy.sparse`, `BCOO`, or one of `icg.designs`).
        Y: responses `(n, t)`, a column a task.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative.
        fit_intercept: whether `b` `(t,)` is fitted (unpenalised).
        sample_weight: as for `icg.lasso`.

    Returns:
        A problem for `icg.solve`. Its value is `W` of shape `(p, t)`, the transpose of scikit-learn's `coef_`, or
        `(W, b)` with an intercept; its dual is `R / n` of shape `(n, t)`.

    Raises:
        ValueError: wrong shapes, bad numbers, each by name.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, Y = jnp.sqrt(2.0) * jnp.eye(2), jnp.sqrt(2.0) * jnp.array([[3.0, 4.0], [0.0, 1.0]])
        >>> icg.solve(icg.multitask_lasso(X, Y, 2.5)).value
        Array([[1.5, 2. ],
               [0. , 0. ]], dtype=float32)

    Source: Obozinski, Taskar, Jordan, Joint covariate selection and joint subspace selection, 2010.
    """
    X, Y = design.with_responses(X, Y)
    p, tasks = X.shape[1], Y.shape[1]
    alpha = checks.penalty_strength(alpha, p, X.dtype)
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    penalty = GroupL2(alpha, jnp.repeat(jnp.arange(p, dtype=jnp.int32), tasks), jnp.ones(p, X.dtype))
    return Composite(MultitaskLeastSquares(X, Y, fit_intercept, weights), penalty)
