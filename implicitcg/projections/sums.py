"""Sets with a norm or a sum: the simplex, balls, and boxes with and without a sum."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import ArrayLike, Float

from ..penalties.cones import Nonnegative
from ..penalties.domain import one_each, parameter_like, require, vectors
from ..penalties.sets import Box, BoxSection, CappedSimplex, L1Ball, L2Ball, Simplex
from .project import project


def simplex(x: Float[ArrayLike, "*batch n"], radius: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The projection on the simplex `{p : p_j >= 0, sum_j p_j = radius}`.

    Args:
        x: vectors `(*batch, n)`.
        radius: the sum, `>= 0`; one number, or one for each vector.

    Returns:
        `max(x - tau, 0)`, of the shape and dtype of `x`.

    Raises:
        ValueError: a negative radius, or `n = 0` with a positive one (the set is empty).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> simplex(jnp.array([0.5, 1.0, -1.0]))
        Array([0.25, 0.75, 0.  ], dtype=float32)
        >>> jax.jacobian(simplex, 1)(jnp.array([0.5, 1.0, -1.0]), jnp.float32(1.0))
        Array([0.5, 0.5, 0. ], dtype=float32)

    Source: Michelot 1986; Condat 2016.
    """
    x = vectors(x)
    radius = _radius(radius, x)
    if x.shape[-1] == 0:
        require(
            radius, lambda r: r == 0, "x has no entries: no vector of length 0 has a positive sum, the set is empty."
        )
    return project(Simplex(radius), x)


def l1_ball(x: Float[ArrayLike, "*batch n"], radius: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The projection on the l1 ball `{p : sum_j |p_j| <= radius}`.

    Args:
        x: vectors `(*batch, n)`.
        radius: `>= 0`; one number, or one for each vector.

    Returns:
        `x` inside, `sign(x) max(|x| - tau, 0)` outside.

    Raises:
        ValueError: a negative radius.

    Example:
        >>> import jax.numpy as jnp
        >>> l1_ball(jnp.array([0.5, -1.0, 0.0]))
        Array([ 0.25, -0.75,  0.  ], dtype=float32)

    Source: Duchi, Shalev-Shwartz, Singer, Chandra, ICML 2008.
    """
    x = vectors(x)
    return project(L1Ball(_radius(radius, x)), x)


def l2_ball(x: Float[ArrayLike, "*batch n"], radius: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The projection on the Euclidean ball `{p : ||p|| <= radius}`.

    Args:
        x: vectors `(*batch, n)`.
        radius: `>= 0`; one number, or one for each vector.

    Returns:
        `x` inside, `radius x / ||x||` outside.

    Raises:
        ValueError: a negative radius.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jacobian(l2_ball)(jnp.zeros(2), 0.0)
        Array([[0., 0.],
               [0., 0.]], dtype=float32)
    """
    x = vectors(x)
    return project(L2Ball(_radius(radius, x)), x)


def box(x: Float[ArrayLike, "*batch n"], lower: ArrayLike, upper: ArrayLike) -> Float[Array, "*batch n"]:
    """The projection on the box `{p : lower <= p <= upper}`.

    Args:
        x: vectors `(*batch, n)`.
        lower: bounds that broadcast to the shape of `x`; infinite ones are none.
        upper: the same; `lower = upper` fixes a coordinate.

    Returns:
        `min(max(x, lower), upper)`.

    Raises:
        ValueError: some `lower > upper` (the set is empty).

    Example:
        >>> import jax.numpy as jnp
        >>> box(jnp.array([0.5, 2.0, -1.0]), 0.0, 1.0)
        Array([0.5, 1. , 0. ], dtype=float32)
    """
    x = vectors(x)
    lower, upper = (jnp.broadcast_to(bound, x.shape) for bound in _bounds(x, lower, upper))
    return project(Box(lower, upper), x)


def nonnegative(x: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch n"]:
    """The projection on the nonnegative orthant, `max(x, 0)`.

    Example:
        >>> import jax.numpy as jnp
        >>> nonnegative(jnp.array([1.0, -2.0]))
        Array([1., 0.], dtype=float32)
    """
    return project(Nonnegative(), vectors(x))


def capped_simplex(x: Float[ArrayLike, "*batch n"], total: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """The projection on the capped simplex `{p : 0 <= p_j <= 1, sum_j p_j = total}`: a soft choice of `total` items.

    Args:
        x: vectors `(*batch, n)`.
        total: in `[0, n]`; one number, or one for each vector.

    Returns:
        `clip(x + tau, 0, 1)`.

    Raises:
        ValueError: a total outside `[0, n]` (the set is empty).

    Example:
        >>> import jax.numpy as jnp
        >>> capped_simplex(jnp.array([3.0, 0.5, 0.25]), 2.0)
        Array([1.   , 0.625, 0.375], dtype=float32)
    """
    x = vectors(x)
    n = x.shape[-1]
    total = require(
        one_each(total, "total", x),
        lambda t: (t >= 0) & (t <= n),
        f"total must lie between 0 and n = {n}: {n} entries of at most 1 have no other sums, the set is empty.",
    )
    return project(CappedSimplex(total), x)


def box_section(
    x: Float[ArrayLike, "*batch n"], lower: ArrayLike, upper: ArrayLike, w: ArrayLike, c: ArrayLike
) -> Float[Array, "*batch n"]:
    """The projection on the section `{p : lower <= p <= upper, w^T p = c}` of a box.

    Args:
        x: vectors `(*batch, n)`.
        lower: bounds that broadcast to the shape of `x`; infinite ones are none.
        upper: the same.
        w: weights of any sign, that broadcast to the shape of `x`.
        c: what the weighted sum must be; one number, or one for each vector.

    Returns:
        `clip(x + tau w, lower, upper)`.

    Raises:
        ValueError: some `lower > upper`, or a `c` that no point of the box has (the set is empty), up to rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> box_section(jnp.array([2.0, 0.5, 0.25]), 0.0, 1.0, jnp.ones(3), 1.5)
        Array([1.   , 0.375, 0.125], dtype=float32)

    Source: Brucker 1984; Pardalos, Kovoor 1990, for the singly constrained quadratic program.
    """
    x = vectors(x)
    lower, upper = _bounds(x, lower, upper)
    w = _broadcastable(w, "w", x)
    eps = float(jnp.finfo(x.dtype).eps)

    def attained(c: Any, lower: Any, upper: Any, w: Any) -> Any:
        xp: Any = np if isinstance(c, np.ndarray) else jnp
        first, second = xp.where(w == 0, 0, w * lower), xp.where(w == 0, 0, w * upper)
        first, second = (xp.broadcast_to(part, x.shape) for part in (first, second))
        least, most = xp.minimum(first, second).sum(-1), xp.maximum(first, second).sum(-1)
        sizes = [xp.where(xp.isfinite(part), abs(part), 0).sum(-1) for part in (first, second)]
        room = 4 * eps * x.shape[-1] * (abs(c) + sizes[0] + sizes[1])
        return (c >= least - room) & (c <= most + room)

    c = require(
        jnp.broadcast_to(one_each(c, "c", x), x.shape[:-1]),
        attained,
        "c lies outside the values of w^T p on the box: the section is empty. Between its bounds, w^T p goes from "
        "sum(min(w lower, w upper)) to sum(max(w lower, w upper)).",
        lower,
        upper,
        w,
    )
    return project(BoxSection(lower, upper, w, c), x)


def _radius(radius: Any, x: Array) -> Array:
    return require(
        one_each(radius, "radius", x), lambda r: r >= 0, "radius is negative; the radius of a set is at least 0."
    )


def _bounds(x: Array, lower: Any, upper: Any) -> tuple[Array, Array]:
    lower, upper = _broadcastable(lower, "lower", x), _broadcastable(upper, "upper", x)
    lower = require(
        lower, lambda low, high: low <= high, "lower exceeds upper somewhere: the box is empty. Exchange them.", upper
    )
    return lower, upper


def _broadcastable(value: Any, name: str, x: Array) -> Array:
    """A parameter that broadcasts to the shape of `x`, in its own shape."""
    value = parameter_like(value, name, x)
    try:
        fits = np.broadcast_shapes(value.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} has shape {value.shape}, which does not broadcast to that of x, {x.shape}.")
    return value
