"""The root of an increasing function of one variable, to the last bit, for many of them at once."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ..base import while_loop


def bracketed_newton(
    function: Callable[[Array], Array], low: Float[Array, "*batch"], high: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """The root in `[low, high]` of a function that increases there, entry by entry.

    Newton's step where it stays inside the bracket and the last step has halved, bisection elsewhere: at worst a few
    times the bisections that the format has bits, as a rule a dozen steps. Ends when no entry moves any more.
    """
    epsilon = float(jnp.finfo(low.dtype).eps)

    def unfinished(state: tuple) -> Array:
        low, high, x, step, count = state
        return jnp.any((jnp.abs(step) > 2 * epsilon * jnp.abs(x)) & (high > low)) & (count < 300)

    def advance(state: tuple) -> tuple:
        low, high, x, step, count = state
        value, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
        low, high = jnp.where(value <= 0, x, low), jnp.where(value >= 0, x, high)
        newton = x - value / jnp.where(slope > 0, slope, 1)
        good = (slope > 0) & (newton >= low) & (newton <= high) & (jnp.abs(newton - x) <= jnp.abs(step) / 2)
        following = jnp.where(good, newton, low / 2 + high / 2)
        return low, high, following, following - x, count + 1

    start = low / 2 + high / 2
    *_, x, _, _ = while_loop(unfinished, advance, (low, high, start, high - low, jnp.zeros((), jnp.int32)))
    return x
