"""The sorted l1 norm (OWL, SLOPE): larger entries pay larger weights."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import choose, sort
from ..closed_form import closed_form
from ..penalty import AbstractPenalty
from ..rounding import snapped
from .blocks import (
    backward,
    exact_run_mean,
    pool_adjacent_violators,
    run_ends,
    run_mean,
    run_of,
    run_total,
    to_split,
)
from .permutahedron import inverse, permuted


class SortedL1(AbstractPenalty):
    """`g(z) = sum_i w_i |z|_(i)` with `|z|_(1) >= |z|_(2) >= ...` and `w_1 >= w_2 >= ... >= w_n >= 0`.

    With `|u|` in decreasing order, `prox(u)` is the positive part of the nonincreasing isotonic regression of
    `|u| - step w`, with the signs of `u`: in `O(n log n)`. Entries on one run get one size, so the prox clusters.

    Tie rule: two runs with the same mean are one, and a run at zero stays there: the smallest active set. Entries that
    are equal in size and in weight stay apart, in the order given.

    >>> import jax.numpy as jnp
    >>> SortedL1(jnp.array([2.0, 1.0])).prox(jnp.array([3.0, -2.5]), 1.0).tolist()
    [1.25, -1.25]

    Source: Bogdan et al., SLOPE: adaptive variable selection via convex optimization, Ann. Appl. Stat. 2015.
    """

    weights: Float[Array, "*batch n"]

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_i w_i |z|_(i)`."""
        return jnp.sum(self.weights * -sort(-jnp.abs(z)))

    def prox(self, u: Float[Array, "*batch p"], step: Float[Array, ""] | float) -> Float[Array, "*batch p"]:
        """The prox; `step` is a scalar, or the same in all coordinates."""
        weights = jnp.broadcast_to(step * self.weights, u.shape)
        if u.shape[-1] < 1:
            return u
        return jnp.vectorize(lambda u, w: _prox(u, w)[0], signature="(n),(n)->(n)")(u, weights)

    def invalid(self) -> Array:
        """Whether the weights are negative or not in decreasing order."""
        return jnp.any(self.weights < 0) | jnp.any(jnp.diff(self.weights, axis=-1) > 0)


def _value(u: Array, weights: Array) -> tuple[Array, Array]:
    """The prox, and where its runs start in increasing order of size."""
    size = jnp.abs(u)
    order = jnp.argsort(size)
    key = permuted(size, order) - weights[::-1]
    starts = pool_adjacent_violators(key)
    fit = jnp.maximum(exact_run_mean(key, starts), 0)
    return jnp.where(u >= 0, 1, -1).astype(u.dtype) * permuted(fit, inverse(order)), starts.astype(u.dtype)


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple:
    (_, flags), (u, weights), (du, dweights) = *lax.stop_gradient((result, primals)), tangents
    starts, order = flags > 0, jnp.argsort(jnp.abs(u))
    u, weights = permuted(u, order), weights[::-1]
    size = jnp.abs(u)
    key = size - weights
    fit = run_mean(key, starts)
    height = snapped(jnp.abs(fit), size + weights)
    distance = jnp.maximum(to_split(key, fit, starts), jnp.where(fit < 0, height, 0))  # none between runs below zero
    # two that are equal in size and in weight can change places, so for u alone no kink is between them
    same = (backward(size) == 0) & (backward(weights) == 0)
    weight = choose((starts & ((distance > 0) | same)).astype(u.dtype), distance, name="sorted l1, runs")
    apart = weight > 0.5
    run = run_of(apart)
    # a run is kept or dropped as a whole, which its first entry decides, and larger ones are kept with it; where
    # nothing is paid nothing is dropped
    alive = choose(
        ((fit > 0) & (height > 0)).astype(u.dtype), jnp.where(starts, height, jnp.inf), name="sorted l1, zero"
    )
    kept = lax.cummax(alive[run_ends(run, jnp.arange(u.shape[0]))[0]])
    kept = jnp.where(run_total(weights, run) == 0, 1, kept)
    sign = 2 * choose((u >= 0).astype(u.dtype), jnp.maximum(size, jnp.abs(fit)), name="sorted l1, sign") - 1
    moved = sign * kept * run_mean(sign * permuted(du, order) - dweights[::-1], apart)
    return permuted(moved, inverse(order)), jnp.zeros_like(flags)


_prox = closed_form(_value, _tangent)
