"""Where on a step a margin first falls through zero: a cubic to notice it, Newton's method on true steps to find it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .field import View

SAMPLES = 16  # of the margins' cubic interpolant on a step
REFINEMENTS = 60  # at most; Newton's method takes four or five


class Hunt(NamedTuple):
    """The search for a crossing on one step, whose points are fractions of it.

    `on` while there is one; `target` is the next point to step onto, `low` and `high` enclose the crossing, `found`
    tells that some point below zero was seen; `ignore`, that the cubic's alarm for this step was a false one.
    """

    on: Array
    ignore: Array
    target: Array
    low: Array
    high: Array
    found: Array
    tries: Array

    @classmethod
    def off(cls, like: Array) -> Hunt:
        no = jnp.asarray(False)
        return cls(no, no, jnp.ones_like(like), jnp.zeros_like(like), jnp.ones_like(like), no, jnp.zeros((), jnp.int32))


def hermite(before: View, after: View, dt: Array) -> tuple[Array, Array]:
    """The cubic through the margins and their rates at both ends of a step: values and rates, `(SAMPLES + 1, K)`."""
    s = jnp.asarray(np.arange(SAMPLES + 1) / SAMPLES, dt.dtype)[:, None]
    m0, m1, d0, d1 = (v[None] for v in (before.margin, after.margin, dt * before.rate, dt * after.rate))
    value = (1 + 2 * s) * (1 - s) ** 2 * m0 + s * (1 - s) ** 2 * d0 + s**2 * (3 - 2 * s) * m1 + s**2 * (s - 1) * d1
    slope = 6 * s * (s - 1) * (m0 - m1) + (1 - s) * (1 - 3 * s) * d0 + s * (3 * s - 2) * d1
    value = jnp.concatenate([value[:-1], m1], 0)
    return value, slope / jnp.where(dt > 0, dt, 1)


def closest_crossing(value: Array, slope: Array, dt: Array, span: Array) -> Array:
    """For every margin the least of `|m| + 1e-3 span |dm/dt|` on the step, `(K,)`: small where it is only touched."""
    near = jnp.abs(value) + 1e-3 * span * jnp.abs(slope)
    # between two samples where the rate changes its sign: the extremum of a parabola
    first, second = slope[:-1], slope[1:]
    turns = first * second < 0
    share = first / jnp.where(turns, first - second, 1)
    extremum = value[:-1] + dt / SAMPLES * first * share / 2
    near = jnp.concatenate([near, jnp.where(turns, jnp.abs(extremum), jnp.inf)])
    return jnp.where(jnp.isnan(near), jnp.inf, near).min(0, initial=jnp.inf)


def begin(value: Array, floor: Array, hunt: Hunt) -> Hunt:
    """A hunt, if the cubic falls below the floor, from the first sample where it does."""
    below = (value[1:] < floor[None]).any(1)
    start = Hunt.off(hunt.target)
    first = (jnp.argmax(below) + 1).astype(hunt.target.dtype) / SAMPLES
    return start._replace(on=below.any() & ~hunt.ignore, target=first, found=below[-1])


def refine(hunt: Hunt, view: View, dt: Array, floor: Array, fine: Array) -> tuple[Hunt, Array]:
    """The hunt after its target was stepped onto, and whether that was the crossing."""
    depth = view.margin - floor
    i = jnp.argmin(depth)
    x, under = hunt.target, depth[i] < 0
    low, high = jnp.where(under, hunt.low, x), jnp.where(under, x, hunt.high)
    found = hunt.found | under
    slope = view.rate[i] * dt
    newton = x - depth[i] / jnp.where(slope == 0, 1, slope)
    inside = (slope < 0) & (newton > low) & (newton < high)
    target = jnp.where(inside, newton, (low + high) / 2)
    near = (slope < 0) & (jnp.abs(newton - x) <= fine)
    done = near | (high - low <= fine) | (hunt.tries >= REFINEMENTS)
    there = hunt.on & found & done
    going = Hunt(hunt.on & found & ~done, ~found, target, low, high, found, hunt.tries + 1)
    return going, there
