"""The permutahedron of a vector: the hull of its permutations."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import sort
from ..sets.set import AbstractSet
from .blocks import apart


class Permutahedron(AbstractSet):
    """The permutahedron `conv {(w_s(1), ..., w_s(n)) : s a permutation}`.

    With `x` in decreasing order, the projection is `x - v`, `v` the nonincreasing isotonic regression of `x - w` for
    the sorted `w`: in `O(n log n)`. On each run of `v` the Jacobian is `I - 1 1^T / m` in `x` and `1 1^T / m` in `w`.

    Tie rule: two runs with the same mean are two, the smallest face. Equal entries of `w` keep their order.

    >>> import jax.numpy as jnp
    >>> Permutahedron(jnp.array([1.0, 2.0, 3.0])).project(jnp.array([10.0, -10.0, 0.0])).tolist()
    [3.0, 1.0, 2.0]

    Source: Blondel, Teboul, Berthet, Djolonga, Fast Differentiable Sorting and Ranking, ICML 2020.
    """

    w: Float[Array, "*batch n"]

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return toward_permutahedron(x, self.w, jnp.ones((), x.dtype))


def toward_permutahedron(
    x: Float[Array, "*batch n"], w: Float[Array, "*batch n"], strength: Float[Array, "*batch"]
) -> Float[Array, "*batch n"]:
    """The projection of `x / strength` on the permutahedron of `w`, written so that small strengths lose no digits.

    At strength 0 it is the limit from above, `w` in the order of `x`, with the mean over equal entries of `x`, and its
    derivative in `x` and in the strength is 0.
    """
    if x.shape[-1] < 1:
        return x
    return jnp.vectorize(_project, signature="(n),(n),()->(n)")(x, w, strength)


def _project(x: Array, w: Array, strength: Array) -> Array:
    order = jnp.argsort(lax.stop_gradient(x))  # which of equal entries comes first does not matter: they share a run
    x, w = permuted(x, order), sort(w)
    # in increasing order the regression is nondecreasing; times the strength, so that nothing is divided by a small one
    scale = jnp.where(strength > 0, 1 / jnp.where(strength > 0, strength, 1), 0)
    key = jnp.where(strength > 0, x - strength * w, _levels(x))
    # a strength near the end of the format, or infinite, which is the limit: then everything is one run but for `w`
    beyond = ~jnp.isfinite(strength * jnp.max(jnp.abs(w)) * 2)
    key = jnp.where(beyond, x * scale - w, key)
    (x_mean, w_mean), _ = apart(key, (x, w))
    return permuted((x - x_mean) * scale + w_mean, inverse(order))


def _levels(x: Array) -> Array:
    """A key whose runs are those of equal entries of the sorted `x`: each level begins with a step back."""
    first = jnp.concatenate([jnp.ones(1, bool), jnp.diff(x) > 0]).astype(jnp.int32)
    return (3 * jnp.cumsum(first) + first).astype(x.dtype)


def permuted(x: Array, order: Array) -> Array:
    """`x[order]` for a permutation."""
    return x.at[order].get(unique_indices=True, mode="promise_in_bounds")


def inverse(order: Array) -> Array:
    """The permutation that undoes `order`."""
    return jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0], dtype=order.dtype), unique_indices=True)
