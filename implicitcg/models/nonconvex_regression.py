"""Least squares with penalties that are not convex."""

from __future__ import annotations

from jaxtyping import ArrayLike, Float

from ..base import checks
from ..equations.composite import Composite
from ..linear import DesignLike, design
from ..penalties import MCP, SCAD, LeastSquares


def mcp_regression(
    X: DesignLike,
    y: Float[ArrayLike, " n"],
    alpha: Float[ArrayLike, "*p"],
    gamma: Float[ArrayLike, ""] = 3.0,
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[LeastSquares, MCP]:
    """Least squares with the minimax concave penalty: a stationary point of `1/(2n) ||y - X w - b||^2 + MCP(w)`.

    The penalty starts like `alpha |w|`, flattens, and is constant from `|w| = gamma alpha` on (`icg.penalties.MCP`).

    Args:
        X: design matrix `(n, p)`; columns of mean square 1 are what `gamma` is meant for.
        y: response `(n,)`.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative.
        gamma: where the penalty ends, in units of `alpha`, greater than 1.
        fit_intercept: as for `icg.lasso`.
        sample_weight: as for `icg.lasso`.

    Returns:
        A problem for `icg.solve`. The solution is the stationary point found from `init`; derivative and certificate
        are those of this point, and the certificate's reason says so.

    Raises:
        ValueError: as for `icg.lasso`; `gamma <= 1`.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> icg.solve(icg.mcp_regression(jnp.sqrt(2.0) * jnp.eye(2), jnp.array([4.0, 1.0]), 0.5)).value
        Array([2.828..., 0.310...], dtype=float32)

    Source: Zhang, Nearly unbiased variable selection under minimax concave penalty, Annals of Statistics 2010.
    """
    X, y = design.with_response(X, y)
    penalty = MCP(
        checks.penalty_strength(alpha, X.shape[1], X.dtype), checks.number(gamma, "gamma", X.dtype, above=1.0)
    )
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    return Composite(LeastSquares(X, y, fit_intercept, weights), penalty)


def scad_regression(
    X: DesignLike,
    y: Float[ArrayLike, " n"],
    alpha: Float[ArrayLike, "*p"],
    a: Float[ArrayLike, ""] = 3.7,
    *,
    fit_intercept: bool = False,
    sample_weight: Float[ArrayLike, " n"] | None = None,
) -> Composite[LeastSquares, SCAD]:
    """Least squares with SCAD: a stationary point of `1/(2n) ||y - X w - b||^2 + SCAD(w)`.

    The penalty is `alpha |w|` up to `|w| = alpha` and constant from `|w| = a alpha` on (`icg.penalties.SCAD`).

    Args:
        X: design matrix `(n, p)`; columns of mean square 1 are what `a` is meant for.
        y: response `(n,)`.
        alpha: penalty, a scalar or one per feature `(p,)`, nonnegative.
        a: where the penalty ends, in units of `alpha`, greater than 2.
        fit_intercept: as for `icg.lasso`.
        sample_weight: as for `icg.lasso`.

    Returns:
        A problem for `icg.solve`, as for `mcp_regression`.

    Raises:
        ValueError: as for `icg.lasso`; `a <= 2`.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> icg.solve(icg.scad_regression(jnp.sqrt(2.0) * jnp.eye(2), jnp.array([4.0, 1.0]), 0.5)).value
        Array([2.828..., 0.207...], dtype=float32)

    Source: Fan, Li, Variable selection via nonconcave penalized likelihood and its oracle properties, JASA 2001.
    """
    X, y = design.with_response(X, y)
    penalty = SCAD(checks.penalty_strength(alpha, X.shape[1], X.dtype), checks.number(a, "a", X.dtype, above=2.0))
    weights = checks.sample_weight(sample_weight, X.shape[0], X.dtype)
    return Composite(LeastSquares(X, y, fit_intercept, weights), penalty)
