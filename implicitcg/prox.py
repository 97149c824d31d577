"""Proximal maps (`icg.prox`): `prox_{t g}(x) = argmin_p t g(p) + ||p - x||^2 / 2`, all exact.

Differentiable in every argument, at every point, to every order. Vectors lie along the last axis; leading axes are a
batch. Where a map has a kink the derivative is the one of the smallest active set (entries that are about to leave zero
stay, runs that are about to split do not), and `icg.kinks`, `icg.conservative_jacobian` and `icg.certify` know the
others. Each map is the prox of one class in `icg.penalties`, for use in `icg.composite`.

::

    | map | penalty | class |
    |---|---|---|
    | `l1(x, t)` | `sum_j t_j |p_j|` | `L1` |
    | `nonnegative_l1(x, t)` | `sum_j t_j p_j`, `p >= 0` | `NonnegativeL1` |
    | `elastic_net(x, t, l1_ratio)` | `sum_j t_j (r |p_j| + (1 - r) p_j^2 / 2)` | `ElasticNet` |
    | `huber(x, t, delta)` | `sum_j t_j h(p_j)` | `Huber` |
    | `mcp(x, t, gamma)`, `scad(x, t, a)` | the nonconvex penalties | `MCP`, `SCAD` |
    | `l2(x, t)` | `t ||p||` | `L2` |
    | `linf(x, t)` | `t max_j |p_j|` | `LInf` |
    | `group_l2(x, t, groups)` | `sum_g t_g ||p_g||` | `GroupL2` |
    | `sorted_l1(x, weights)` | `sum_i w_i |p|_(i)` | `SortedL1` |
    | `total_variation(x, t)` | `t sum_i |p_{i+1} - p_i|` | `TotalVariation` |
    | `nuclear_norm(M, t)` | `t sum_i sigma_i(P)` | `NuclearNorm` |
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import ArrayLike, Float, Int

from .base.checks import floating
from .base.labels import groups as group_labels
from .penalties import L1, MCP, SCAD, AbstractPenalty, ElasticNet, GroupL2
from .penalties.domain import like, matrices, one_each, require, row_each, vectors
from .penalties.norms import L2, Huber, LInf, NonnegativeL1, NuclearNorm
from .penalties.ordered import SortedL1, TotalVariation


def l1(x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"]) -> Float[Array, "*shape"]:
    """Soft thresholding: `sign(x) max(|x| - t, 0)`.

    Args:
        x: of any shape; the map acts on each entry.
        t: threshold `>= 0`, a number or anything that broadcasts to `x`.

    Returns:
        Of the shape and dtype of `x`. At `|x_j| = t_j > 0` the derivative is 0, and 1 where `t_j = 0`.

    Raises:
        ValueError: a negative threshold, or one that does not broadcast.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> l1(jnp.array([3.0, -0.5, 1.0]), 1.0)
        Array([2., 0., 0.], dtype=float32)
        >>> jax.jacobian(l1, 1)(jnp.array([3.0, -0.5, 1.0]), 1.0).tolist()
        [-1.0, 0.0, 0.0]

    Source: Donoho, De-noising by soft-thresholding, 1995.
    """
    x, t = _entries(x, t=t)
    return _prox(L1(t), x)


def nonnegative_l1(x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"]) -> Float[Array, "*shape"]:
    """`max(x - t, 0)`: the prox of `sum_j t_j p_j` on `p >= 0`.

    Arguments and errors as for `l1`; at `x_j = t_j` the derivative is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> nonnegative_l1(jnp.array([3.0, 1.0]), 1.0)
        Array([2., 0.], dtype=float32)
    """
    x, t = _entries(x, t=t)
    return _prox(NonnegativeL1(t), x)


def elastic_net(
    x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"], l1_ratio: Float[ArrayLike, "*#shape"] = 0.5
) -> Float[Array, "*shape"]:
    """`sign(x) max(|x| - t r, 0) / (1 + t (1 - r))`: the prox of `sum_j t_j (r |p_j| + (1 - r) p_j^2 / 2)`.

    Args:
        x: of any shape; the map acts on each entry.
        t: strength `>= 0`, a number or anything that broadcasts to `x`.
        l1_ratio: `r` in [0, 1], the share of the l1 norm, as in scikit-learn.

    Returns:
        Of the shape and dtype of `x`. Kinks and derivatives there as for `l1`.

    Raises:
        ValueError: a negative strength, a ratio outside [0, 1], or shapes that do not broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> elastic_net(jnp.array([3.0, -0.5]), 1.0, 0.5).round(4)
        Array([1.6667, 0.    ], dtype=float32)

    Source: Zou, Hastie, Regularization and variable selection via the elastic net, JRSS B 2005.
    """
    x, t, ratio = _entries(x, t=t, l1_ratio=l1_ratio)
    ratio = require(ratio, lambda r: (r >= 0) & (r <= 1), "l1_ratio is outside [0, 1]; it is the share of the l1 norm.")
    return _prox(ElasticNet(t * ratio, t * (1 - ratio)), x)


def huber(
    x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"], delta: Float[ArrayLike, "*#shape"] = 1.0
) -> Float[Array, "*shape"]:
    """`x / (1 + t)` where `|x| <= (1 + t) delta`, `x - t delta sign(x)` beyond: the prox of Huber's function.

    The penalty is `t sum_j h(p_j)` with `h(p) = p^2 / 2` up to `|p| = delta` and `delta |p| - delta^2 / 2` beyond.

    Args:
        x: of any shape; the map acts on each entry.
        t: strength `>= 0`, a number or anything that broadcasts to `x`.
        delta: where the quadratic piece ends, `>= 0`.

    Returns:
        Of the shape and dtype of `x`. Where the pieces meet the derivative is that of the quadratic one.

    Raises:
        ValueError: a negative strength or `delta`, or shapes that do not broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> huber(jnp.array([1.0, 4.0]), 1.0)
        Array([0.5, 3. ], dtype=float32)

    Source: Huber 1964.
    """
    x, t, delta = _entries(x, t=t, delta=delta)
    delta = require(delta, lambda d: d >= 0, "delta is negative; the quadratic piece ends at a number >= 0.")
    return _prox(Huber(t, delta), x)


def mcp(
    x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"], gamma: Float[ArrayLike, ""] = 3.0
) -> Float[Array, "*shape"]:
    """The prox of the minimax concave penalty, firm thresholding: as `l1`, stretched to the identity at `gamma t`.

    Args:
        x: of any shape; the map acts on each entry.
        t: threshold `>= 0`, a number or anything that broadcasts to `x`.
        gamma: a number `> 1`.

    Returns:
        `sign(x) max(|x| - t, 0) / (1 - 1 / gamma)` where `|x| <= gamma t`, `x` beyond.

    Raises:
        ValueError: a negative threshold, `gamma <= 1`, or shapes that do not broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> mcp(jnp.array([0.5, 2.0, 5.0]), 1.0, 3.0).round(4)
        Array([0. , 1.5, 5. ], dtype=float32)

    Source: Zhang 2010; Gao, Bruce, WaveShrink with firm shrinkage, 1997.
    """
    x, t = _entries(x, t=t)
    gamma = require(_number(gamma, "gamma", x), lambda g: g > 1, "gamma is not above 1: the map would jump.")
    return _prox(MCP(t, gamma), x)


def scad(
    x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"], a: Float[ArrayLike, ""] = 3.7
) -> Float[Array, "*shape"]:
    """The prox of SCAD: `l1` up to `|x| = 2 t`, the identity from `|x| = a t` on, affine between.

    Args:
        x: of any shape; the map acts on each entry.
        t: threshold `>= 0`, a number or anything that broadcasts to `x`.
        a: a number `> 2`.

    Returns:
        Of the shape and dtype of `x`.

    Raises:
        ValueError: a negative threshold, `a <= 2`, or shapes that do not broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> scad(jnp.array([1.5, 5.0]), 1.0)
        Array([0.5, 5. ], dtype=float32)

    Source: Fan, Li 2001.
    """
    x, t = _entries(x, t=t)
    a = require(_number(a, "a", x), lambda a: a > 2, "a is not above 2: the map would jump.")
    return _prox(SCAD(t, a), x)


def l2(x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """`max(1 - t / ||x||, 0) x`: the prox of `t ||p||`.

    Args:
        x: vectors `(*batch, n)`.
        t: threshold `>= 0`, one number, or one for each vector.

    Returns:
        Of the shape and dtype of `x`. At `||x|| = t > 0` the derivative is 0; where `t = 0` the map is the identity.

    Raises:
        ValueError: a negative threshold, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> l2(jnp.array([3.0, 4.0]), 2.5)
        Array([1.5, 2. ], dtype=float32)
    """
    x, t = _strength(vectors(x), t)
    return _prox(L2(t), x)


def linf(x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """`x` cut at a level that takes `t` off in all, or 0: the prox of `t max_j |p_j|`.

    Args:
        x: vectors `(*batch, n)`.
        t: strength `>= 0`, one number, or one for each vector.

    Returns:
        Of the shape and dtype of `x`; 0 where `sum_j |x_j| <= t`. An entry at the level is not cut.

    Raises:
        ValueError: a negative strength, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> linf(jnp.array([3.0, -2.0, 0.5]), 2.0)
        Array([ 1.5, -1.5,  0.5], dtype=float32)
    """
    x, t = _strength(vectors(x), t)
    return _prox(LInf(t), x)


def group_l2(
    x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*g"], groups: Int[ArrayLike, " n"]
) -> Float[Array, "*batch n"]:
    """`max(1 - t_g / ||x_g||, 0) x_g` for each group: the prox of `sum_g t_g ||p_g||`.

    Args:
        x: vectors `(*batch, n)`.
        t: threshold `>= 0`, one number or one per group. Multiply by the square root of the sizes for the penalty of
            `icg.group_lasso`.
        groups: the label of each entry's group, consecutive integers `(n,)`; concrete.

    Returns:
        Of the shape and dtype of `x`. A group with `||x_g|| = t_g > 0` has derivative 0.

    Raises:
        ValueError: a negative threshold, wrong shapes, labels that are no integers or leave a group empty.
        TypeError: traced labels.

    Example:
        >>> import jax.numpy as jnp
        >>> group_l2(jnp.array([3.0, 4.0, 1.0]), 2.5, [0, 0, 1])
        Array([1.5, 2. , 0. ], dtype=float32)

    Source: Yuan, Lin 2006.
    """
    x = vectors(x)
    if not x.shape[-1]:
        return x
    labels, sizes = group_labels(groups, x.shape[-1])
    t = _nonnegative(like(t, "t", x))
    if t.shape not in ((), sizes.shape):
        raise ValueError(f"t has shape {t.shape}; a number, or one per group, shape {sizes.shape}, is needed.")
    return _prox(GroupL2(t, labels, jnp.ones(sizes.shape, x.dtype)), x)


def sorted_l1(x: Float[ArrayLike, "*batch n"], weights: Float[ArrayLike, "*#batch n"]) -> Float[Array, "*batch n"]:
    """The prox of the sorted l1 norm `sum_i w_i |p|_(i)` with `|p|_(1) >= |p|_(2) >= ...` (OWL, SLOPE).

    Args:
        x: vectors `(*batch, n)`.
        weights: `(n,)` in decreasing order, `>= 0`; or one row for each vector.

    Returns:
        Of the shape and dtype of `x`; entries of similar size become equal in size.

    Raises:
        ValueError: weights that are negative, not in decreasing order, or of another length.

    Example:
        >>> import jax.numpy as jnp
        >>> sorted_l1(jnp.array([3.0, -2.5, 0.5]), jnp.array([2.0, 1.0, 1.0]))
        Array([ 1.25, -1.25,  0.  ], dtype=float32)

    Source: Bogdan et al. 2015.
    """
    x = vectors(x)
    weights = require(
        row_each(weights, "weights", x, "one weight"),
        lambda w: ((w >= 0) & (w[..., :1] >= 0)).all(-1) & (w[..., 1:] <= w[..., :-1]).all(-1),
        "weights must be nonnegative and in decreasing order, the largest first: `jnp.sort(weights)[::-1]`.",
    )
    return _prox(SortedL1(weights), x)


def total_variation(x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """The prox of `t sum_i |p_{i+1} - p_i|` (fused lasso signal): piecewise constant, in linear time.

    Args:
        x: signals `(*batch, n)`.
        t: strength `>= 0`, one number, or one for each signal.

    Returns:
        Of the shape and dtype of `x`: the mean of `x` over each run, moved by `t` over its length for each neighbour
        above, and back for each below.

    Raises:
        ValueError: a negative strength, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> total_variation(jnp.array([0.0, 0.0, 6.0, 6.0]), 1.0)
        Array([0.5, 0.5, 5.5, 5.5], dtype=float32)

    Source: Johnson 2013; Tibshirani et al., Sparsity and smoothness via the fused lasso, 2005.
    """
    x, t = _strength(vectors(x), t)
    return _prox(TotalVariation(t), x)


def nuclear_norm(M: Float[ArrayLike, "*batch m n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch m n"]:
    """Soft thresholding of the singular values: the prox of `t` times their sum.

    Args:
        M: matrices `(*batch, m, n)`.
        t: threshold `>= 0`, one number, or one for each matrix.

    Returns:
        Of the shape and dtype of `M`. Derivatives are finite and right with repeated and with zero singular values;
        second derivatives need distinct, nonzero ones.

    Raises:
        ValueError: a negative threshold, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> nuclear_norm(jnp.array([[0.0, 3.0], [0.5, 0.0]]), 1.0).round(4)
        Array([[0., 2.],
               [0., 0.]], dtype=float32)

    Source: Cai, Candès, Shen 2010.
    """
    M, t = _strength(matrices(M), t, axes=2)
    return _prox(NuclearNorm(t), M)


@jax.jit
def _prox(penalty: AbstractPenalty, x: Array) -> Array:
    if isinstance(penalty, GroupL2):
        return jnp.vectorize(lambda x: penalty.prox(x, jnp.ones((), x.dtype)), signature="(n)->(n)")(x)
    return penalty.prox(x, jnp.ones((), x.dtype))


def _nonnegative(t: Array) -> Array:
    return require(t, lambda t: t >= 0, "t is negative; a strength is >= 0. Tune its logarithm to keep it positive.")


def _strength(x: Array, t: Any, axes: int = 1) -> tuple[Array, Array]:
    return x, _nonnegative(one_each(t, "t", x, axes))


def _entries(x: Any, **parameters: Any) -> list[Array]:
    """`x` and parameters that broadcast to it; `t` is nonnegative."""
    x = floating(x, "x")
    found = [x]
    for name, value in parameters.items():
        value = like(value, name, x)
        if _broadcast(value.shape, x.shape) != x.shape:
            raise ValueError(f"{name} has shape {value.shape}, which does not broadcast to x of shape {x.shape}.")
        value = _nonnegative(value) if name == "t" else value
        found.append(value if value.ndim == 0 else jnp.broadcast_to(value, x.shape))
    return found


def _number(value: Any, name: str, x: Array) -> Array:
    value = like(value, name, x)
    if value.ndim:
        raise ValueError(f"{name} has shape {value.shape}; one number is needed.")
    return value


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None
