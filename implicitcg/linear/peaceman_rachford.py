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

from .iteration import Damped, Evaluated, run_iteration, two_norm
from .monotone import AbstractSquareMap


class SplitPoint(NamedTuple):
    """Where the splitting ended: what was kept of the best point, its size and steps, and how it went."""

    point: Array
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
    origin: Array,
    defect: Array,
    tolerance: Array | float,
    max_steps: int | Array,
    scale: Array | None = None,
    wanted: Array | bool = True,
    keep: Callable[[Array, Array], Array] = lambda x, s: x,
) -> SplitPoint:
    """Iterate from the point `origin` until `||z - s(W z + b)|| <= tolerance scale`, by default `max(1, ||z||)`.

    The unknown is the difference from `origin`, whose `defect = origin - (W origin + b)` is all that is needed of `b`:
    near a solution the numbers are small, and so is their rounding, which `1 / a` would magnify.

    `prox` is that of `step g`, `activation` that of `g` itself. What is kept of `x = prox_{a g}(2 z - u)` and of
    `s = W z + b` is `x`, or what `keep(x, s)` says.
    """

    def evaluate(u: Array) -> Evaluated:
        z = resolvent.apply(u - step * defect)
        s = origin + ((1 + step) * z - u) / step
        x = prox(origin + 2 * z - u)
        z = origin + z
        limit = jnp.maximum(two_norm(z), 1) if scale is None else scale
        return Evaluated(2 * (z - x), two_norm(z - activation(s)), limit, keep(x, s))

    # at `u = a defect` the point is `origin`, so that the first step needs no product
    start = step * defect + 2 * (prox(origin - step * defect) - origin)
    reached = run_iteration(evaluate, start, Damped(1.0), tolerance, max_steps, wanted=wanted)
    return SplitPoint(reached.point, reached.size, reached.steps, reached.diverged())


def linear_equilibrium(
    resolvent: AbstractSquareMap,
    step: Array,
    slope: Array,
    bias: Array,
    tolerance: Array | float,
    scale: Array,
    max_steps: int | Array,
    wanted: Array | bool = True,
) -> SplitPoint:
    """`w = diag(d) (W w + b)` for slopes `d` in `[0, 1]`, whose prox is `d u / (d + a (1 - d))`; keeps `W w + b`."""
    damped = slope / (slope + step * (1 - slope))
    return peaceman_rachford(
        resolvent,
        step,
        lambda u: damped * u,
        lambda s: slope * s,
        jnp.zeros_like(bias),
        -bias,
        tolerance,
        max_steps,
        scale,
        wanted,
        keep=lambda x, s: s,
    )
