"""Nonsmooth functions with a documented tie rule: finite at every point, and always an element of Clarke's Jacobian.

`tie` is the element used on the kink. It multiplies the upstream gradient; outside the convex range of the one-sided
derivatives there is no such element, and `ValueError` is raised. Each function is seen by `icg.kinks`, `with_ties` and
`icg.conservative_jacobian`.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from ..base import is_traced
from . import choice, selections
from .length import scaled_square
from .markers import direction
from .native import is_float, mix, piece


def relu(x: Float[ArrayLike, "*shape"], tie: float = 0.0) -> Float[Array, "*shape"]:
    """`max(x, 0)` entry by entry, with the derivative `tie` in [0, 1] at zero.

    >>> import jax
    >>> float(jax.grad(relu)(0.0)), float(jax.grad(relu)(0.0, tie=0.5))
    (0.0, 0.5)
    """
    return _kinked("relu", x, tie, 0.0, 1.0)


def positive_part(x: Float[ArrayLike, "*shape"], tie: float = 0.0) -> Float[Array, "*shape"]:
    """`max(x, 0)`, the projection on the nonnegative orthant; `tie` in [0, 1]: 0 keeps weakly active bounds active."""
    return _kinked("positive_part", x, tie, 0.0, 1.0)


def leaky_relu(
    x: Float[ArrayLike, "*shape"], negative_slope: float = 0.01, tie: float | None = None
) -> Float[Array, "*shape"]:
    """`x` where positive, `negative_slope * x` elsewhere; `tie` between the slopes, the negative one by default."""
    return _kinked("leaky_relu", x, negative_slope if tie is None else tie, negative_slope, 1.0)


def abs(x: Float[ArrayLike, "*shape"], tie: float = 0.0) -> Float[Array, "*shape"]:
    """`|x|` entry by entry, with the derivative `tie` in [-1, 1] at zero (0 by default; JAX's own is 1)."""
    return _kinked("abs", x, tie, -1.0, 1.0)


def _kinked(name: str, x: Any, tie: Any, below: Any, above: float) -> Array:
    """`above * x` for positive `x`, `below * x` for negative."""
    (x,) = _floats(x)
    tie = inside(tie, below, above, name)
    low, high = jnp.asarray(below, x.dtype), jnp.asarray(above, x.dtype)
    width = high - low
    weight_at_tie = (jnp.asarray(tie, x.dtype) - low) / jnp.where(width == 0, jnp.ones_like(width), width)

    def derivative(primals, tangents):
        (x, at_tie, low, high), (dx, *_) = primals, tangents
        default = jnp.where(x > 0, jnp.ones_like(x), jnp.where(x < 0, jnp.zeros_like(x), at_tie))
        weight = choice.choose(default, jnp.abs(x), name=name)
        return (low + (high - low) * weight) * dx

    def value(x, at_tie, low, high):
        # a slope of 0 times a negative number is -0, and times -inf NaN
        return jnp.where(x > 0, high * x, jnp.where((x <= 0) & (low == 0), jnp.zeros_like(x), low * x))

    return piece(value, derivative)(x, weight_at_tie, low, high)


def maximum(x: Float[ArrayLike, "*shape"], y: Float[ArrayLike, "*shape"], tie: float = 0.5) -> Float[Array, "*shape"]:
    """The larger of two; where they tie, the derivative of `x` has weight `tie` in [0, 1], that of `y` the rest."""
    return _extremum("maximum", 1, x, y, tie)


def minimum(x: Float[ArrayLike, "*shape"], y: Float[ArrayLike, "*shape"], tie: float = 0.5) -> Float[Array, "*shape"]:
    """The smaller of two; where they tie, the derivative of `x` has weight `tie` in [0, 1], that of `y` the rest."""
    return _extremum("minimum", -1, x, y, tie)


def clip(x: Float[ArrayLike, "*shape"], lower: ArrayLike, upper: ArrayLike, tie: float = 0.0) -> Float[Array, "*shape"]:
    """`x` held between two bounds; on a bound `x` has the weight `tie` in [0, 1] and the bound the rest.

    The default 0 lets a bound that is met count as active. `lower` must not exceed `upper`.
    """
    raised = _extremum("clip", 1, x, lower, tie)
    return _extremum("clip", -1, raised, upper, tie)


def _extremum(name: str, sign: int, x: Any, y: Any, tie: Any) -> Array:
    x, y = _floats(x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = jnp.broadcast_to(x, shape), jnp.broadcast_to(y, shape)
    tie = jnp.asarray(inside(tie, 0.0, 1.0, name), x.dtype)

    def derivative(primals, tangents):
        (x, y, tie), (dx, dy, _) = primals, tangents
        default = jnp.where(sign * x > sign * y, jnp.ones_like(x), jnp.where(x == y, tie, jnp.zeros_like(x)))
        weight = choice.choose(default, jnp.abs(x - y), name=name)
        return weight * dx + (1 - weight) * dy

    return piece(lambda x, y, _: jnp.maximum(x, y) if sign == 1 else jnp.minimum(x, y), derivative)(x, y, tie)


def where_positive(
    x: Float[ArrayLike, "*shape"],
    then: Float[ArrayLike, "*shape"],
    otherwise: Float[ArrayLike, "*shape"],
    tie: float = 0.0,
) -> Float[Array, "*shape"]:
    """`then` where `x > 0`, `otherwise` elsewhere; at `x = 0` the derivative of `then` has weight `tie` in [0, 1].

    The two branches must meet where `x = 0`; if they do not, the function jumps and no derivative tells of it.
    """
    x, then, otherwise = _floats(x, then, otherwise)
    shape = np.broadcast_shapes(x.shape, then.shape, otherwise.shape)
    x, then, otherwise = (jnp.broadcast_to(part, shape) for part in (x, then, otherwise))
    at_zero = jnp.asarray(inside(tie, 0.0, 1.0, "where_positive"), x.dtype)

    def derivative(primals, tangents):
        (x, _, _, tie), (_, dthen, dotherwise, _) = primals, tangents
        default = jnp.where(x > 0, jnp.ones_like(x), jnp.where(x < 0, jnp.zeros_like(x), tie))
        return mix(choice.choose(default, jnp.abs(x), name="where_positive"), dthen, dotherwise)

    return piece(lambda x, then, otherwise, _: jnp.where(x > 0, then, otherwise), derivative)(
        x, then, otherwise, at_zero
    )


def max(x: Float[ArrayLike, "..."], axis: int | None = None, tie: float | None = None) -> Float[Array, "..."]:
    """The largest entry along `axis` (of all without it).

    Where several are largest the derivative is their mean, or with `tie` in [0, 1] the weight of the first one, the
    last one getting the rest.
    """
    (x,) = _floats(x)
    rows = x.reshape(-1) if axis is None else jnp.moveaxis(x, axis, -1)
    first = jnp.asarray(-1.0 if tie is None else inside(tie, 0.0, 1.0, "max"), x.dtype)

    def derivative(primals, tangents):
        (rows, first), (drows, _) = primals, tangents
        best = jnp.broadcast_to(rows.max(-1, keepdims=True), rows.shape)
        winners = rows == best
        split = winners.astype(rows.dtype) / jnp.maximum(winners.sum(-1, keepdims=True), 1).astype(rows.dtype)
        ends = first * selections.first_of(winners, rows) + (1 - first) * selections.last_of(winners, rows)
        default = jnp.where(first < 0, split, ends)
        return (choice.choose_simplex(default, best - rows, name="max") * drows).sum(-1)

    return piece(lambda rows, _: rows.max(-1), derivative)(rows, first)


def sort(x: Float[ArrayLike, "*shape"], axis: int = -1, tie: float = 1.0) -> Float[Array, "*shape"]:
    """Entries in increasing order; among ties `tie` in [0, 1] weighs the given order against the reversed one.

    With `tie` 1 (or 0) the derivative is a permutation matrix, the one that keeps (or reverses) tied entries.
    """
    (x,) = _floats(x)
    tie = inside(tie, 0.0, 1.0, "sort")
    rows = jnp.moveaxis(x, axis, -1)
    one_order = not is_traced(tie) and float(tie) in (0.0, 1.0)

    def derivative(primals, tangents):
        (rows, tie), (drows, _) = primals, tangents
        kept = _permuted(rows, drows, False)
        if one_order and float(fixed) == 1.0:
            return kept
        reverse = _permuted(rows, drows, True)
        return reverse if one_order else tie * kept + (1 - tie) * reverse

    fixed = tie if one_order else 1.0
    result = piece(lambda rows, _: jnp.sort(rows, -1), derivative)(rows, jnp.asarray(tie, x.dtype))
    return jnp.moveaxis(result, -1, axis)


def _permuted(rows: Array, drows: Array, reverse: bool) -> Array:
    """The tangents in sorted order, tied ones in their own order or reversed."""
    places = jax.lax.broadcasted_iota(jnp.int32, rows.shape, rows.ndim - 1)
    ordered, _, order = jax.lax.sort([rows, -places if reverse else places, places], num_keys=2)
    gap = jnp.concatenate([jnp.diff(ordered, axis=-1), jnp.full_like(ordered[..., :1], jnp.inf)], -1)
    order = choice.choose_order(order, gap, name="sort")
    return jnp.take_along_axis(drows, order, axis=-1)


def median(x: Float[ArrayLike, "..."], axis: int | None = None, tie: float = 1.0) -> Float[Array, "..."]:
    """The middle entry of the sorted ones, or the mean of the two middle ones; ties as in `sort`."""
    (x,) = _floats(x)
    rows = x.reshape(-1) if axis is None else jnp.moveaxis(x, axis, -1)
    ordered, size = sort(rows, -1, tie), rows.shape[-1]
    return (ordered[..., (size - 1) // 2] + ordered[..., size // 2]) / 2


def norm(x: Float[ArrayLike, "..."], axis: int | None = None, tie: ArrayLike = 0.0) -> Float[Array, "..."]:
    """The Euclidean norm along `axis` (of all entries without it), with the gradient `tie` at the origin.

    `tie` is a number or a vector of the length of the axis, of norm at most one; JAX's own derivative there is NaN. The
    norm neither overflows nor underflows: where squares would, entries are divided by the largest first.
    """
    (x,) = _floats(x)
    rows = x.reshape(-1) if axis is None else jnp.moveaxis(x, axis, -1)
    at_origin = jnp.broadcast_to(jnp.asarray(tie, x.dtype), rows.shape[-1:])
    _require_in_ball(at_origin)

    def derivative(primals, tangents):
        (rows, at_origin), (drows, _) = primals, tangents
        # the length is the function itself, so that second derivatives are finite at the origin, too
        slope = direction(length(rows, at_origin), rows, "norm", "", jnp.broadcast_to(at_origin, rows.shape))
        return (slope * drows).sum(-1)

    length = piece(_length, derivative)
    return length(rows, at_origin)


def _require_in_ball(vector: Array) -> None:
    size = jnp.sqrt((vector**2).sum())
    if not is_traced(size) and size > 1 + 1e-6:
        raise ValueError(
            f"norm: the gradient at the origin must have norm at most 1, and this tie has {float(size):.3g}. "
            "A number stands for a vector with all entries equal to it."
        )


def _length(rows: Array, _: Array) -> Array:
    square, scale = scaled_square(rows)
    return (scale * jnp.sqrt(square))[..., 0]


def hypot(x: Float[ArrayLike, "*shape"], y: Float[ArrayLike, "*shape"], tie: ArrayLike = 0.0) -> Float[Array, "*shape"]:
    """`sqrt(x^2 + y^2)`, with the gradient `tie` (a number, or a pair of norm at most one) at the origin."""
    x, y = _floats(x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    return norm(jnp.stack([jnp.broadcast_to(x, shape), jnp.broadcast_to(y, shape)], -1), -1, tie)


def inside(tie: Any, low: Any, high: Any, name: str) -> Any:
    """`tie`, or an error where it lies outside the range of the one-sided derivatives."""
    low, high = (low, high) if low <= high else (high, low)
    message = (
        f"{name}: the derivative at the kink must lie in [{low:g}, {high:g}], the range of the one-sided derivatives; "
        "outside it there is no element of the Jacobian."
    )
    if is_traced(tie):
        return eqx.error_if(tie, (tie < low) | (tie > high), message)
    if not bool(np.all((np.asarray(tie) >= low) & (np.asarray(tie) <= high))):
        raise ValueError(f"{message} It is {tie}.")
    return tie


def _floats(*values: Any) -> list[Array]:
    arrays = [jnp.asarray(value) for value in values]
    floats = [array.dtype for array in arrays if is_float(array)]
    dtype = jnp.result_type(*floats) if floats else jnp.result_type(float)
    return [array.astype(dtype) for array in arrays]
