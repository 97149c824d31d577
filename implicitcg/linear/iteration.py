"""One loop for every fixed-point method: best iterate, divergence and counts, in a form that `vmap` makes per sample.

A method moves a point `u` with the value `F` of an equation there; the loop evaluates, keeps the best point by `where`,
and stops. Under `vmap` every lane has its own counters and is frozen once it has stopped, so a lane that fails, by NaN
or otherwise, fails alone. Buffers are shifted, not indexed: a lane's own index would make every write a scatter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from ..base import while_loop

GROWTH = 1e6  # a residual this many times the first one is not coming back


class Method(Protocol):
    """A fixed-point method: how the next point follows from the present one and a memory of fixed size."""

    def empty(self, u: Array) -> Any:
        """The memory before the first step."""
        ...

    def advance(self, u: Array, F: Array, memory: Any) -> tuple[Array, Any]:
        """The next point and memory, given the equation's value `F(u)`."""
        ...


class Reached(NamedTuple):
    """Where a loop ended: the best point met, its size relative to its scale, and the steps taken.

    `rate` is the last ratio of sizes, smoothed; `first` and `last` are the sizes at both ends, not relative.
    """

    point: Array
    size: Float[Array, ""]
    steps: Int[Array, ""]
    rate: Float[Array, ""]
    first: Float[Array, ""]
    last: Float[Array, ""]

    def diverged(self) -> Bool[Array, ""]:
        """Whether the last point was worse than the first by far, or not finite."""
        return ~(self.last <= 10 * self.first)


class _State(NamedTuple):
    u: Array
    F: Array
    size: Array
    target: Array
    rate: Array
    best: Array
    best_size: Array
    best_target: Array
    steps: Array
    memory: Any


def norm(x: Array) -> Float[Array, ""]:
    """The Euclidean norm of all entries, in the dtype of `x`."""
    return jnp.sqrt(jnp.sum(jnp.square(x)))


def iterate(
    evaluate: Callable[[Array], tuple[Array, Array, Array]],
    start: Array,
    method: Method,
    tolerance: Any,
    max_steps: Any,
    worth: Callable[[Array, Array], Array] | None = None,
) -> Reached:
    """Move from `start` by `method` until the size is at most `tolerance` times the scale.

    Args:
        evaluate: `u -> (F(u), size, scale)`. The best point is the one of least size; a relative size would prefer
            points that run away.
        start: an array of any shape.
        method: what makes the next point.
        tolerance: bounds the size.
        max_steps: evaluations after the first.
        worth: `(steps, rate) -> bool`, whether the method is worth going on with.

    Returns:
        The best point met, which is `start` where nothing better was finite.
    """
    F, first, scale = evaluate(start)

    def unfinished(s: _State) -> Array:
        # a NaN compares False: such a lane stops
        going = (s.size > s.target) & (s.steps < max_steps) & (s.size <= GROWTH * first)
        return going if worth is None else going & worth(s.steps, s.rate)

    def step(s: _State) -> _State:
        u, memory = method.advance(s.u, s.F, s.memory)
        F, size, scale = evaluate(u)
        target = tolerance * scale
        better = (size < s.best_size) | (size <= target)
        rate = jnp.sqrt(s.rate * size / s.size)
        return _State(
            u,
            F,
            size,
            target,
            rate,
            jnp.where(better, u, s.best),
            jnp.where(better, size, s.best_size),
            jnp.where(better, target, s.best_target),
            s.steps + 1,
            memory,
        )

    zero, target = jnp.zeros((), jnp.int32), tolerance * scale
    best_size = jnp.where(jnp.isfinite(first), first, jnp.inf)
    rate = jnp.full_like(first, 0.5)
    memory = method.empty(start)
    s = while_loop(unfinished, step, _State(start, F, first, target, rate, start, best_size, target, zero, memory))
    return Reached(s.best, tolerance * s.best_size / s.best_target, s.steps, s.rate, first, s.size)


class Damped(NamedTuple):
    """`u <- u - damping F(u)`: the plain iteration at 1."""

    damping: float = 1.0

    def empty(self, u: Array) -> tuple[()]:
        """Nothing is remembered."""
        return ()

    def advance(self, u: Array, F: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
        """One damped step."""
        return u - jnp.asarray(self.damping, u.dtype) * F, memory
