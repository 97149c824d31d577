"""JAX's own nonsmooth primitives, written again so that their derivative asks `choose`.

The values are JAX's, and so is the default at a kink, measured in `tests/test_nonsmooth_kinks.py`: `max` and `min` of
two operands 1/2 each, `reduce_max` an equal split, `abs` the slope 1, `clamp` the bound, pooling the first winner.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp

from ..base import jaxprs
from . import choice


def is_float(x: Any) -> bool:
    """Whether a value is a real floating-point array or number."""
    return jnp.issubdtype(x.dtype if hasattr(x, "dtype") else np.result_type(x), jnp.floating)


def piece(value: Callable[..., Any], derivative: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a derivative rule `derivative(primals, tangents)`, the same again at every order."""
    function = jax.custom_jvp(value)

    @function.defjvp
    def rule(primals, tangents):
        return function(*primals), derivative(primals, tangents)

    return function


def mix(weight: Array, upper: Array, lower: Array) -> Array:
    """`w upper + (1 - w) lower`, exact at the vertices even where the branch not taken is infinite."""
    blend = weight * upper + (1 - weight) * lower
    return jnp.where(weight == 1, upper, jnp.where(weight == 0, lower, blend))


def half_at_tie(upper: Array, lower: Array) -> Array:
    """1 where `upper > lower`, 0 where `upper < lower`, 1/2 where they tie (JAX's rule for `max`)."""
    return ((upper > lower).astype(upper.dtype) + (upper >= lower).astype(upper.dtype)) / 2


def extremum(equation: Any, sign: int, where: str, x: Any, y: Any) -> Array:
    """`max` (sign 1) or `min` (sign -1) of two; the weight is that of the operand that varies, the first if both do."""
    shape = np.broadcast_shapes(jnp.shape(x), jnp.shape(y))
    x, y = jnp.broadcast_to(x, shape), jnp.broadcast_to(y, shape)
    name = equation.primitive.name
    swap = jaxprs.is_literal(equation.invars[0]) and not jaxprs.is_literal(equation.invars[1])

    def derivative(primals, tangents):
        (a, b), (da, db) = (primals[::-1], tangents[::-1]) if swap else (primals, tangents)
        weight = choice.choose(half_at_tie(sign * a, sign * b), jnp.abs(a - b), name=name, where=where)
        return weight * da + (1 - weight) * db

    return piece(lambda a, b: jaxprs.bind(equation, a, b)[0], derivative)(x, y)


def native_absolute(equation: Any, where: str, x: Array) -> Array:
    """`abs`: slope `2 w - 1`, and 1 at zero by default, as in JAX."""

    def derivative(primals, tangents):
        ((x,), (dx,)) = primals, tangents
        return (2 * choice.choose((x >= 0).astype(x.dtype), jnp.abs(x), name="abs", where=where) - 1) * dx

    return piece(lambda x: jaxprs.bind(equation, x)[0], derivative)(x)


def clamp(equation: Any, where: str, lower: Array, x: Array, upper: Array) -> Array:
    """`clamp`: weight 1 inside, 0 at the bounds.

    JAX drops the derivative of the bound itself on the tie, which leaves Clarke's set; here it gets the rest.
    """
    lower, upper = jnp.broadcast_to(lower, x.shape), jnp.broadcast_to(upper, x.shape)

    def derivative(primals, tangents):
        (low, x, high), (dlow, dx, dhigh) = primals, tangents
        above = choice.choose((x > low).astype(x.dtype), jnp.abs(x - low), name="clamp", where=where)
        raised = jnp.maximum(x, low)
        below = choice.choose((raised < high).astype(x.dtype), jnp.abs(raised - high), name="clamp", where=where)
        return below * (above * dx + (1 - above) * dlow) + (1 - below) * dhigh

    return piece(lambda *operands: jaxprs.bind(equation, *operands)[0], derivative)(lower, x, upper)


def largest(name: str, sign: int, where: str, split: bool, x: Array) -> Array:
    """The largest (sign 1) or smallest entry along the last axis; ties split equally, or go to the first winner."""

    def value(x):
        return x.max(-1) if sign == 1 else x.min(-1)

    def derivative(primals, tangents):
        ((x,), (dx,)) = primals, tangents
        best = value(x)[..., None]
        winners = x == jnp.broadcast_to(best, x.shape)
        if not split:
            winners = winners & (jnp.cumsum(winners, axis=-1) == 1)
        count = jnp.maximum(winners.sum(-1, keepdims=True), 1)
        default = winners.astype(x.dtype) / jnp.broadcast_to(count, x.shape).astype(x.dtype)
        weight = choice.choose_simplex(default, jnp.abs(jnp.broadcast_to(best, x.shape) - x), name=name, where=where)
        return (weight * dx).sum(-1)

    return piece(value, derivative)(x)


def reduce_extremum(equation: Any, sign: int, where: str, x: Array) -> Array:
    """`reduce_max` or `reduce_min`: the axes reduced are made one, at the end."""
    axes = equation.params["axes"]
    if not axes:
        return x
    kept = [i for i in range(x.ndim) if i not in axes]
    flat = jnp.transpose(x, (*kept, *axes)).reshape(*[x.shape[i] for i in kept], -1)
    return largest(equation.primitive.name, sign, where, True, flat)


def argument_of_extremum(equation: Any, sign: int, where: str, x: Array) -> Array:
    """`argmax`, `argmin`: another index among the tied ones, so that whatever it gathers is another branch."""
    (axis,) = equation.params["axes"]
    (index,) = jaxprs.bind(equation, x)
    rows = lax.stop_gradient(jnp.moveaxis(x, axis, -1))
    best = rows.max(-1, keepdims=True) if sign == 1 else rows.min(-1, keepdims=True)
    one_hot = jax.nn.one_hot(index, rows.shape[-1], dtype=x.dtype)
    distance = jnp.abs(jnp.broadcast_to(best, rows.shape) - rows)
    weight = choice.choose_index(one_hot, distance, name=equation.primitive.name, where=where)
    return jnp.argmax(weight, -1).astype(index.dtype)


def _gap(keys: list[Array]) -> Array:
    """Distance from each sorted entry to the next along the last axis; infinite after the last one."""
    gaps = []
    for key in keys:
        step = jnp.abs(key[..., 1:] - key[..., :-1])
        gaps.append(step if is_float(key) else jnp.where(step == 0, 0.0, jnp.inf))
    dtype = jnp.result_type(*gaps)
    total = gaps[0].astype(dtype)
    for gap in gaps[1:]:
        total = jnp.maximum(total, gap.astype(dtype))
    return jnp.concatenate([total, jnp.full_like(total, jnp.inf, shape=(*total.shape[:-1], 1))], -1)


def native_sort(equation: Any, where: str, *operands: Array) -> list[Array]:
    """`native_sort`: gather by a permutation in which tied entries may change places, for every operand alike."""
    axis, keys = equation.params["dimension"], equation.params["num_keys"]
    rows = [jnp.moveaxis(operand, axis, -1) for operand in operands]
    order = _chosen_order(rows[:keys], where, "sort")
    return [jnp.moveaxis(_gather(row, order), -1, axis) for row in rows]


def _chosen_order(keys: list[Array], where: str, name: str, keep: int = 0) -> Array:
    keys = [lax.stop_gradient(key) for key in keys]
    indices = lax.broadcasted_iota(jnp.int32, keys[0].shape, keys[0].ndim - 1)
    *sorted_keys, order = lax.sort([*keys, indices], num_keys=len(keys), is_stable=True)
    return choice.choose_order(order, _gap(sorted_keys), name=name, keep=keep, where=where)


def _gather(rows: Array, order: Array) -> Array:
    return jnp.take_along_axis(rows, order, axis=-1, mode="promise_in_bounds")


def top_k(equation: Any, where: str, x: Array) -> list[Array]:
    """`top_k` by a descending sort; only the order of the first `k` matters."""
    k, axis = equation.params["k"], equation.params.get("axis", -1)
    rows = jnp.moveaxis(x, axis, -1)
    order = _chosen_order([-rows], where, "top_k", keep=k)[..., :k]
    index_dtype = equation.outvars[1].aval.dtype
    return [jnp.moveaxis(_gather(rows, order), -1, axis), jnp.moveaxis(order, -1, axis).astype(index_dtype)]


def cumulative(equation: Any, sign: int, where: str, x: Array) -> Array:
    """`cummax`, `cummin` as a running maximum: at each step the new entry or the best so far."""
    axis, reverse = equation.params["axis"], equation.params["reverse"]
    rows = jnp.moveaxis(x, axis, 0)
    name = equation.primitive.name

    def value(best, new):
        return jnp.maximum(best, new) if sign == 1 else jnp.minimum(best, new)

    def derivative(primals, tangents):
        (best, new), (dbest, dnew) = primals, tangents
        default = half_at_tie(sign * best, sign * new)
        weight = choice.choose(default, jnp.abs(best - new), name=name, where=where)
        return weight * dbest + (1 - weight) * dnew

    running = piece(value, derivative)

    def step(best, new):
        best = running(best, new)
        return best, best

    start, rest = (rows[-1], rows[:-1]) if reverse else (rows[0], rows[1:])
    _, path = lax.scan(step, start, rest, reverse=reverse)
    joined = [path, start[None]] if reverse else [start[None], path]
    return jnp.moveaxis(jnp.concatenate(joined), 0, axis)


def pool(equation: Any, sign: int, where: str, x: Array) -> Array:
    """`reduce_window_max` or `_min`: one slice an offset of the window, then the largest of them."""
    parameters = equation.params
    window, strides = parameters["window_dimensions"], parameters["window_strides"]
    dilation, base = parameters["window_dilation"], parameters["base_dilation"]
    lowest = jnp.asarray(-sign * jnp.inf, x.dtype)
    config = [(low, high, gap - 1) for (low, high), gap in zip(parameters["padding"], base, strict=False)]
    padded = lax.pad(x, lowest, config)
    shape = equation.outvars[0].aval.shape
    slices = []
    for offset in itertools.product(*map(range, window)):
        start = [o * d for o, d in zip(offset, dilation, strict=False)]
        stop = [s + (n - 1) * stride + 1 for s, n, stride in zip(start, shape, strides, strict=False)]
        slices.append(lax.slice(padded, start, stop, strides))
    return largest(equation.primitive.name, sign, where, False, jnp.stack(slices, -1))


REPLACEMENTS: dict[str, Callable[..., Any]] = {
    "max": lambda e, where, x, y: extremum(e, 1, where, x, y),
    "min": lambda e, where, x, y: extremum(e, -1, where, x, y),
    "abs": native_absolute,
    "clamp": clamp,
    "reduce_max": lambda e, where, x: reduce_extremum(e, 1, where, x),
    "reduce_min": lambda e, where, x: reduce_extremum(e, -1, where, x),
    "argmax": lambda e, where, x: argument_of_extremum(e, 1, where, x),
    "argmin": lambda e, where, x: argument_of_extremum(e, -1, where, x),
    "sort": native_sort,
    "top_k": top_k,
    "cummax": lambda e, where, x: cumulative(e, 1, where, x),
    "cummin": lambda e, where, x: cumulative(e, -1, where, x),
    "reduce_window_max": lambda e, where, x: pool(e, 1, where, x),
    "reduce_window_min": lambda e, where, x: pool(e, -1, where, x),
}
