"""Primitives with branches: the value with the branch held, the margin to leaving it, and what lies behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..base import jaxprs


class Kink(NamedTuple):
    """One array of kinks: the branch taken, the margin to leaving it, and the branch behind the nearest exit."""

    branch: Array
    margin: Array
    other: Array


BranchRule = Callable[[Any, list[Any], "Array | None"], tuple[Any, Kink, bool]]


def _bit(answer: Array, branch: Array | None) -> Array:
    return answer.astype(jnp.int32) if branch is None else branch


def _same_shape(*operands: Any) -> list[Array]:
    shape = np.broadcast_shapes(*[jnp.shape(x) for x in operands])
    dtype = jnp.result_type(*operands)
    return [jnp.broadcast_to(jnp.asarray(x, dtype), shape) for x in operands]


def _signed(bit: Array, of: Array) -> Array:
    return jnp.where(bit == 1, of, -of)


def _extremum(sign: int) -> BranchRule:
    def site(equation, operands, branch):
        x, y = _same_shape(*operands)
        bit = _bit(x >= y if sign == 1 else x <= y, branch)
        return jnp.where(bit == 1, x, y), Kink(bit, _signed(bit, sign * (x - y)), 1 - bit), True

    return site


def _absolute(equation, operands, branch):
    (x,) = operands
    bit = _bit(x >= 0, branch)
    return _signed(bit, x), Kink(bit, _signed(bit, x), 1 - bit), True


def _sign(equation, operands, branch):
    (x,) = operands
    bit = _bit(x >= 0, branch)
    return _signed(bit, jnp.ones_like(x)), Kink(bit, _signed(bit, x), 1 - bit), False


def _comparison(sign: int) -> BranchRule:
    def site(equation, operands, branch):
        x, y = _same_shape(*operands)
        (answer,) = jaxprs.bind(equation, *operands)
        bit = _bit(answer, branch)
        away = _signed(bit, sign * (x - y))
        away = jnp.where(jnp.isnan(away), jnp.inf, away)  # inf - inf
        return bit == 1, Kink(bit, away, 1 - bit), False

    return site


def _clamp(equation, operands, branch):
    lower, x, upper = _same_shape(*operands)
    own = jnp.where(x < lower, 0, jnp.where(x > upper, 2, 1)).astype(jnp.int32)
    branch = own if branch is None else branch
    below, above = x - lower, upper - x
    inside = jnp.minimum(below, above)
    value = jnp.where(branch == 0, lower, jnp.where(branch == 2, upper, x))
    margin = jnp.where(branch == 0, -below, jnp.where(branch == 2, -above, inside))
    other = jnp.where(branch == 1, jnp.where(below < above, 0, 2), 1).astype(jnp.int32)
    return value, Kink(branch, margin, other), True


def _reduction(sign: int) -> BranchRule:
    def site(equation, operands, branch):
        (x,) = operands
        axes = equation.params["axes"]
        kept = [i for i in range(x.ndim) if i not in axes]
        rows = sign * jnp.transpose(x, (*kept, *axes)).reshape(*[x.shape[i] for i in kept], -1)
        best = (jnp.argmax(rows, -1) if branch is None else branch).astype(jnp.int32)
        places = lax.broadcasted_iota(jnp.int32, rows.shape, rows.ndim - 1)
        chosen = places == jnp.broadcast_to(best[..., None], rows.shape)
        value = jnp.where(chosen, rows, 0).sum(-1)
        rest = jnp.where(chosen, -jnp.inf, rows)
        return sign * value, Kink(best, value - rest.max(-1), jnp.argmax(rest, -1).astype(jnp.int32)), True

    return site


def _steps(value: Callable[[Array], Array], low: float, high: float) -> BranchRule:
    """`floor`, `ceil`, `round`: `k` for `k + low <= x <= k + high`."""

    def site(equation, operands, branch):
        (x,) = operands
        branch = value(lax.stop_gradient(x)).astype(jnp.int32) if branch is None else branch
        k = branch.astype(x.dtype)
        above, below = x - (k + low), (k + high) - x
        return k, Kink(branch, jnp.minimum(above, below), jnp.where(above < below, branch - 1, branch + 1)), False

    return site


def _remainder(equation, operands, branch):
    x, y = _same_shape(*operands)
    ratio = x / y
    branch = jnp.trunc(lax.stop_gradient(ratio)).astype(jnp.int32) if branch is None else branch
    k = branch.astype(x.dtype)
    above = ratio - (k - jnp.where(branch > 0, 0.0, 1.0).astype(x.dtype))
    below = (k + jnp.where(branch < 0, 0.0, 1.0).astype(x.dtype)) - ratio
    other = jnp.where(above < below, branch - 1, branch + 1)
    return x - k * y, Kink(branch, jnp.minimum(above, below), other), True


BRANCH_RULES: dict[str, BranchRule] = {
    "max": _extremum(1),
    "min": _extremum(-1),
    "abs": _absolute,
    "sign": _sign,
    "gt": _comparison(1),
    "ge": _comparison(1),
    "lt": _comparison(-1),
    "le": _comparison(-1),
    "lt_to": _comparison(-1),  # the order of `searchsorted`, and so of `interp`
    "le_to": _comparison(-1),
    "clamp": _clamp,
    "reduce_max": _reduction(1),
    "reduce_min": _reduction(-1),
    "floor": _steps(jnp.floor, 0.0, 1.0),
    "ceil": _steps(jnp.ceil, -1.0, 0.0),
    "round": _steps(jnp.round, -0.5, 0.5),
    "rem": _remainder,
}
UNLOCATED = {"sort", "top_k", "argmax", "argmin", "cummax", "cummin", "reduce_window_max", "reduce_window_min"}
