"""Peaceman-Rachford splitting for `z = s(W z + b)` with a prox `s` and a monotone `W`.

The layer is the inclusion `0 in (I - W) z - b + dg(z)` with `s = prox_g`. With `V = (I + a (I - W))^{-1}` a step is

    z = V (u + a b),   x = prox_{a g}(2 z - u),   u <- u + 2 (x - z),

which contracts for every `a > 0` where `W` is monotone, while the plain iteration needs `||W|| < 1`. One product a
step: `W z + b = ((1 + a) z - u) / a`, so that the residual of the layer at `z` costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int

from .iteration import Damped, iterate, norm
from .monotone import AbstractSquareMap


class Split(NamedTuple):
    """Where the splitting ended: `s = W z + b` before the activation, steps, and how it went."""

    preactivation: Array
    size: Array
    steps: Int[Array, ""]
    diverged: Bool[Array, ""]


def default_step(W: AbstractSquareMap) -> Array:
    """`1.25` over the root mean square singular value of `I - W`: near the best on random layers of every scale."""
    spread = W.spread()
    return 1.25 / jnp.where(spread > 0, spread, 1)


def peaceman_rachford(
    resolvent: AbstractSquareMap,
    step: Array,
    prox: Callable[[Array], Array],
    activation: Callable[[Array], Array],
    bias: Array,
    start: Array,
    tolerance: Array | float,
    max_steps: int | Array,
    scale: Array | None = None,
) -> Split:
    """Iterate from `start` (a `u`) until `||z - s(W z + b)|| <= tolerance scale`, by default `max(1, ||z||)`.

    `prox` is that of `step g`, `activation` that of `g` itself.
    """

    def layer(u: Array) -> tuple[Array, Array]:
        z = resolvent.apply(u + step * bias)
        return z, ((1 + step) * z - u) / step

    def evaluate(u: Array) -> tuple[Array, Array, Array]:
        z, s = layer(u)
        return 2 * (z - prox(2 * z - u)), norm(z - activation(s)), jnp.maximum(norm(z), 1) if scale is None else scale

    reached = iterate(evaluate, start, Damped(1.0), tolerance, max_steps)
    return Split(layer(reached.point)[1], reached.size, reached.steps, reached.diverged())


def linear_equilibrium(
    resolvent: AbstractSquareMap,
    step: Array,
    slope: Array,
    bias: Array,
    tolerance: Array | float,
    scale: Array,
    max_steps: int,
) -> Split:
    """`w = diag(d) (W w + b)` for slopes `d` in `[0, 1]`, whose prox is `d u / (d + a (1 - d))`; returns `W w + b`."""
    damped = slope / (slope + step * (1 - slope))
    return peaceman_rachford(
        resolvent, step, lambda u: damped * u, lambda s: slope * s, bias, -step * bias, tolerance, max_steps, scale
    )
