"""One loop for every fixed-point method: best iterate, divergence and counts, in a form that `vmap` makes per sample.

A method moves a point `u` with the value `F` of an equation there; the loop evaluates, keeps the best point by `where`,
and stops. Under `vmap` every lane has its own counters and is frozen once it has stopped, so a lane that fails, by NaN
or otherwise, fails alone. Buffers are shifted, not indexed: a lane's own index would make every write a scatter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ..base import anywhere, only_where, while_loop

PATIENCE = 50  # steps without progress; a rate of 0.9998 still counts as progress
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
    """Where a loop ended: what was kept of the best point met, its size relative to its scale, and the steps taken.

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


class Evaluated(NamedTuple):
    """The equation at a point: its value, the size to judge it by, its scale, and what to keep of the best point."""

    F: Array
    size: Float[Array, ""]
    scale: Float[Array, ""]
    keep: Array


class _State(NamedTuple):
    u: Array
    memory: Any
    active: Array
    best: Array
    best_size: Array
    best_scale: Array
    steps: Array
    rate: Array
    first: Array
    last: Array
    mark: Array
    patience: Array


def two_norm(x: Array) -> Float[Array, ""]:
    """The Euclidean norm of all entries, in the dtype of `x`."""
    return jnp.sqrt(jnp.sum(jnp.square(x)))


def run_iteration(
    evaluate: Callable[[Array], Evaluated],
    start: Array,
    method: Method,
    tolerance: Any,
    max_steps: Any,
    worth: Callable[[Array, Array], Array] | None = None,
    wanted: Array | bool = True,
) -> Reached:
    """Move from `start` by `method` until the size is at most `tolerance` times the scale.

    The best point is the one of least size; a relative size would prefer points that run away. A residual that has not
    fallen by a hundredth in `PATIENCE` steps has met its rounding, or a wall: the loop ends.

    Args:
        evaluate: the equation; what it keeps has the shape of `start`.
        start: an array of any shape.
        method: what makes the next point.
        tolerance: bounds the size.
        max_steps: evaluations after the first.
        worth: `(steps, rate) -> bool`, whether the method is worth going on with.
        wanted: whether anything is to be done; a batch of which nothing is wanted costs no evaluation.

    Returns:
        What was kept of the best point met; where nothing was finite or wanted, `start`, of infinite size.
    """

    def step(s: _State) -> _State:
        at = evaluate(s.u)
        size = at.size
        target = tolerance * at.scale
        done = size <= target
        # a batch shares one loop and is masked here: the masks that `vmap` would put on every carry cost more than
        # the rest of a step
        better = lax.optimization_barrier(s.active & ((size < s.best_size) | done))
        first = jnp.where(s.steps == 0, size, s.first)
        rate = jnp.where(s.steps == 0, s.rate, jnp.sqrt(s.rate * size / s.last))
        progress = size < 0.99 * s.mark
        patience = jnp.where(progress, PATIENCE, s.patience - 1)
        going = s.active & ~done & (s.steps < max_steps) & (size <= GROWTH * first) & (patience > 0)  # NaN ends it
        if worth is not None:
            going = going & worth(s.steps, rate)
        going = lax.optimization_barrier(going)
        u, memory = method.advance(s.u, jnp.where(going, at.F, 0), s.memory)  # a lane that is done stands still
        return _State(
            u,
            memory,
            going,
            jnp.where(better, at.keep, s.best),
            jnp.where(better, size, s.best_size),
            jnp.where(better, at.scale, s.best_scale),
            jnp.where(going, s.steps + 1, s.steps),
            jnp.where(s.active, rate, s.rate),
            first,
            jnp.where(s.active, size, s.last),
            jnp.where(progress, size, s.mark),
            patience,
        )

    one = jnp.ones((), start.dtype)
    none = jnp.zeros((), jnp.int32)
    active = jnp.asarray(wanted)
    begin = _State(
        start,
        method.empty(start),
        active,
        start,
        jnp.inf * one,
        one,
        none,
        0.5 * one,
        one,
        one,
        jnp.inf * one,
        none + PATIENCE,
    )
    s = while_loop(lambda s: anywhere(s.active), step, begin)
    return Reached(s.best, s.best_size / s.best_scale, s.steps, s.rate, s.first, s.last)


def resume(
    evaluate: Callable[[Array], Evaluated],
    before: Reached,
    method: Method,
    tolerance: Any,
    max_steps: Any,
    worth: Callable[[Array, Array], Array] | None = None,
) -> Reached:
    """Go on from where a loop ended short of the tolerance, by another method; both together are one search.

    Points are kept as they are (`keep` is the point itself), and the steps are those of both.
    """
    short = ~(before.size <= tolerance)

    def go_on() -> Reached:  # under a conditional: the buffers of a method that is not wanted cost as much as its steps
        after = run_iteration(evaluate, before.point, method, tolerance, max_steps, worth, short)
        return Reached(after.point, after.size, before.steps + after.steps, after.rate, before.first, after.last)

    return only_where(short, go_on, before)


class Damped(NamedTuple):
    """`u <- u - damping F(u)`: the plain iteration at 1."""

    damping: float = 1.0

    def empty(self, u: Array) -> tuple[()]:
        """Nothing is remembered."""
        return ()

    def advance(self, u: Array, F: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
        """One damped step."""
        return u - jnp.asarray(self.damping, u.dtype) * F, memory
