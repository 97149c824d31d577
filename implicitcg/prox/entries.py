"""Maps that act on each entry."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base.checks import floating
from ..penalties import L1, MCP, SCAD, ElasticNet
from ..penalties.domain import parameter_like, require
from ..penalties.norms import Huber, NonnegativeL1
from .strength import at_strength, nonnegative_strength


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
    return at_strength(L1(t), x)


def nonnegative_l1(x: Float[ArrayLike, "*shape"], t: Float[ArrayLike, "*#shape"]) -> Float[Array, "*shape"]:
    """`max(x - t, 0)`: the prox of `sum_j t_j p_j` on `p >= 0`.

    Arguments and errors as for `l1`; at `x_j = t_j` the derivative is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> nonnegative_l1(jnp.array([3.0, 1.0]), 1.0)
        Array([2., 0.], dtype=float32)
    """
    x, t = _entries(x, t=t)
    return at_strength(NonnegativeL1(t), x)


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
    return at_strength(ElasticNet(t * ratio, t * (1 - ratio)), x)


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
    return at_strength(Huber(t, delta), x)


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
    return at_strength(MCP(t, gamma), x)


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
    return at_strength(SCAD(t, a), x)


def _entries(x: Any, **parameters: Any) -> list[Array]:
    """`x` and parameters that broadcast to it; `t` is nonnegative."""
    x = floating(x, "x")
    found = [x]
    for name, value in parameters.items():
        value = parameter_like(value, name, x)
        if _broadcast(value.shape, x.shape) != x.shape:
            raise ValueError(f"{name} has shape {value.shape}, which does not broadcast to x of shape {x.shape}.")
        value = nonnegative_strength(value) if name == "t" else value
        found.append(value if value.ndim == 0 else jnp.broadcast_to(value, x.shape))
    return found


def _number(value: Any, name: str, x: Array) -> Array:
    value = parameter_like(value, name, x)
    if value.ndim:
        raise ValueError(f"{name} has shape {value.shape}; one number is needed.")
    return value


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None
