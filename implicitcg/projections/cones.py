"""Cones: second order, semidefinite, exponential and power."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base.checks import floating
from ..nonsmooth import psd_part
from ..penalties.cones import Exponential, Power, SecondOrder
from ..penalties.domain import in_single, require, vectors
from .project import project


def second_order_cone(x: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch n"]:
    """The projection on the second-order cone `{(t, v) : ||v|| <= t}`, with `t` the first entry.

    Example:
        >>> import jax.numpy as jnp
        >>> second_order_cone(jnp.array([1.0, 3.0, 4.0])).round(5)
        Array([3. , 1.8, 2.4], dtype=float32)
    """
    x = vectors(x)
    if x.shape[-1] == 0:
        raise ValueError("x has no entries; a vector of the second-order cone has at least its height t.")
    return project(SecondOrder(x.shape[-1]), x)


def psd_cone(S: Float[ArrayLike, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The projection on the symmetric positive semidefinite matrices: the eigenvalues made nonnegative.

    Args:
        S: symmetric, to within rounding.

    Returns:
        A symmetric matrix. Repeated eigenvalues are no kink; zero ones are, and stay zero.

    Raises:
        ValueError: a matrix that is not square or not symmetric.

    Example:
        >>> import jax.numpy as jnp
        >>> psd_cone(jnp.array([[1.0, 2.0], [2.0, -2.0]])).round(5)
        Array([[1.6, 0.8],
               [0.8, 0.4]], dtype=float32)

    Source: Higham 1988; Sun, Sun, Semismooth matrix-valued functions, 2002, for its Jacobians.
    """
    S = floating(S, "S")
    if S.ndim < 2 or S.shape[-1] != S.shape[-2]:
        raise ValueError(f"S has shape {S.shape}; a square matrix, or a batch of them, is needed.")
    room = float(jnp.finfo(S.dtype).eps) ** 0.75

    def symmetric(S: Any) -> Any:
        size = abs(S).max(axis=(-2, -1), keepdims=True, initial=0.0)
        return ~(abs(S - S.swapaxes(-2, -1)) > room * size)

    S = require(
        S, symmetric, "S is not symmetric; the cone holds symmetric matrices. Pass (S + S.T) / 2 if that is meant."
    )
    return in_single(lambda _, S: _semidefinite(S), (), S)


def exponential_cone(x: Float[ArrayLike, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """The projection on the closure of `{(x, y, z) : y > 0, y exp(x / y) <= z}`.

    Example:
        >>> import jax.numpy as jnp
        >>> exponential_cone(jnp.array([1.0, 1.0, 1.0])).round(4)
        Array([0.4263, 0.7517, 1.3254], dtype=float32)

    Source: Friberg 2023.
    """
    return project(Exponential(), vectors(x))


def power_cone(x: Float[ArrayLike, "*batch 3"], a: ArrayLike) -> Float[Array, "*batch 3"]:
    """The projection on `{(x, y, z) : x^a y^{1-a} >= |z|, x, y >= 0}`.

    Args:
        x: vectors `(*batch, 3)`.
        a: the exponent, strictly between 0 and 1.

    Returns:
        The nearest point, differentiable in `x` and in `a`.

    Raises:
        ValueError: an exponent outside the interval.

    Example:
        >>> import jax.numpy as jnp
        >>> power_cone(jnp.array([0.0, 0.0, 3.0]), 0.5).round(4)
        Array([1., 1., 1.], dtype=float32)

    Source: Hien 2015.
    """
    x = vectors(x)
    return project(Power(floating(a, "a", x.dtype)), x)


@jax.jit
def _semidefinite(S: Array) -> Array:
    return psd_part(S)
