"""Helpers that state the laws: directional derivatives, differences, and comparison of pytrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree


def direction_like(tree: Any, seed: int) -> Any:
    """A random direction of the structure of `tree`, of norm one."""
    flat, unravel = ravel_pytree(tree)
    v = np.random.default_rng(seed).standard_normal(flat.shape)
    return unravel(jnp.asarray(v / np.linalg.norm(v), flat.dtype))


def moved(tree: Any, direction: Any, step: float) -> Any:
    return jax.tree.map(lambda a, d: a + step * d, tree, direction)


def central_difference(function: Callable[[Any], Any], theta: Any, direction: Any, step: float = 1e-5) -> Any:
    """`(f(theta + h d) - f(theta - h d)) / (2 h)`: error `O(h^2)` from curvature and `eps / h` from rounding."""
    ahead, behind = function(moved(theta, direction, step)), function(moved(theta, direction, -step))
    return jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)


def inner(a: Any, b: Any) -> float:
    return float(ravel_pytree(a)[0] @ ravel_pytree(b)[0])


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Equality of two pytrees up to `tolerance`, relative to the size of what is expected."""
    a, e = np.asarray(ravel_pytree(actual)[0]), np.asarray(ravel_pytree(expected)[0])
    assert a.shape == e.shape
    assert np.all(np.isfinite(a))
    np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * max(1.0, float(np.max(np.abs(e), initial=0.0))))
