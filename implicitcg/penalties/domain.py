"""What closed-form maps are given: vectors and parameters of the right shapes, and conditions on their values.

A condition raises at the call where the values are known, and when the program runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..base import concrete_value
from ..base.checks import floating
from ..base.loops import inside_shard_map


def require(x: Array, holds: Callable[..., Any], message: str, *others: Array) -> Array:
    """`x`, once `holds(x, *others)` is known to be true.

    Args:
        x: the array that is returned; what follows must use it.
        holds: a condition in NumPy's and JAX's common language, `True` or an array of truth values.
        message: what is wrong where it does not hold.
        *others: what the condition depends on besides.

    Raises:
        ValueError: at the call where the values are known; inside `jit` a runtime error with the same text. Inside
            `jax.shard_map`, which has no such errors, the result is NaN instead.
    """
    values = [concrete_value(array) for array in (x, *others)]
    if all(value is not None for value in values):
        if not np.all(holds(*[np.asarray(value) for value in values])):
            raise ValueError(message)
        return x
    ok = jnp.all(jnp.asarray(holds(x, *others)))
    if inside_shard_map():
        return jnp.where(ok, x, jnp.nan)
    return eqx.error_if(x, ~ok, message)


def vectors(x: Any) -> Array:
    """`x` as floating-point vectors along the last axis."""
    x = floating(x, "x")
    if x.ndim == 0:
        raise ValueError("x is a number; a vector, or a batch of vectors along the last axis, is needed.")
    return x


def matrices(M: Any) -> Array:
    """`M` as floating-point matrices along the last two axes."""
    M = floating(M, "M")
    if M.ndim < 2:
        raise ValueError(f"M has shape {M.shape}; a matrix, or a batch of matrices, is needed.")
    return M


def in_single(function: Callable[[Any, Array], Array], parameters: Any, x: Array) -> Array:
    """`function(parameters, x)` for functions with matrix factorisations, which half precision does not have."""
    if x.dtype.itemsize >= 4:
        return function(parameters, x)
    wide = jax.tree.map(lambda part: jnp.asarray(part, jnp.float32), parameters)
    return function(wide, x.astype(jnp.float32)).astype(x.dtype)


def parameter_like(value: Any, name: str, x: Array) -> Array:
    """A parameter in the dtype of `x`."""
    return floating(value, name, x.dtype)


def one_each(value: Any, name: str, x: Array, axes: int = 1) -> Array:
    """A number, or one for each vector of the batch (for each matrix, with `axes` 2)."""
    value, batch = parameter_like(value, name, x), x.shape[: x.ndim - axes]
    try:
        shape = np.broadcast_shapes(value.shape, batch)
    except ValueError:
        shape = None
    if shape != batch:
        what, each = ("x", "vectors") if axes == 1 else ("M", "matrices")
        raise ValueError(
            f"{name} has shape {value.shape}; {what} of shape {x.shape} needs one number, or one for each of its "
            f"{each}: shape {batch}."
        )
    return value


def row_each(value: Any, name: str, x: Array, what: str) -> Array:
    """A vector of the length of those of `x`, or one for each of them."""
    value = parameter_like(value, name, x)
    try:
        fits = value.ndim > 0 and np.broadcast_shapes(value.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits or value.shape[-1] != x.shape[-1]:
        raise ValueError(f"{name} has shape {value.shape}; x of shape {x.shape} needs {what} for each of its entries.")
    return value
