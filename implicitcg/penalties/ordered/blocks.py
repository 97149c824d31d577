"""Means over runs of consecutive entries, and the runs that isotonic regression finds.

Isotonic regression, total variation, sorted l1 and the permutahedron all end in a partition of `0..n-1` into runs; the
value is a mean over each run, and so is the derivative, as long as the runs stay what they are. A partition is kept as
the flags of the places where a run starts.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ...base import while_loop
from ...nonsmooth import choose
from ..batches import one_after_the_other
from ..closed_form import closed_form
from ..rounding import snapped


def run_of(starts: Bool[Array, " n"]) -> Int[Array, " n"]:
    """The number of the run that each entry is in."""
    return jnp.cumsum(starts.astype(jnp.int32)) - 1


def run_total(x: Float[Array, " n"], run: Int[Array, " n"]) -> Float[Array, " n"]:
    """The sum over the run of each entry, in `O(n)`; its transpose is itself."""
    return jax.ops.segment_sum(x, run, x.shape[0], indices_are_sorted=True)[run]


def run_mean(x: Float[Array, " n"], starts: Bool[Array, " n"]) -> Float[Array, " n"]:
    """The mean over the run of each entry."""
    run = run_of(starts)
    return run_total(x, run) / run_total(jnp.ones_like(x), run)


def exact_run_mean(x: Float[Array, " n"], starts: Bool[Array, " n"]) -> Float[Array, " n"]:
    """`run_mean`, corrected once by the mean of what it leaves: a long sum in float32 loses digits otherwise."""
    run = run_of(starts)
    size = run_total(jnp.ones_like(x), run)
    mean = run_total(x, run) / size
    return jnp.where(size == 1, x, mean + run_total(x - mean, run) / size)


def run_ends(run: Int[Array, " n"], place: Int[Array, " n"]) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """Where the run of each entry begins, and where it has ended."""
    n = run.shape[0]
    begin = jax.ops.segment_min(place, run, n, indices_are_sorted=True)[run]
    return begin, jax.ops.segment_max(place, run, n, indices_are_sorted=True)[run] + 1


@one_after_the_other
def pool_adjacent_violators(x: Float[Array, " n"]) -> Bool[Array, " n"]:
    """Where the runs of the nondecreasing isotonic regression of `x` start: the finest ones, equal means stay apart.

    A stack of runs, as sums and sizes: the last one is merged with the one below it while their means decrease, then
    the next entry is taken, into the last run if it is below its mean. Each of the at most `2 n` steps takes an entry
    or merges two runs. A step writes the stack before it reads it, which lets XLA update it in place.

    Source: Barlow, Bartholomew, Bremner, Brunk, Statistical Inference under Order Restrictions, 1972.
    """
    n, one = x.shape[0], jnp.ones((), x.dtype)

    def step(state: tuple) -> tuple:
        _, taken, top, total, size, totals, sizes = state
        totals, sizes = _put(totals, total, top), _put(sizes, size, top)
        below = jnp.maximum(top - 1, 0)
        total_below, size_below = _get(totals, below), _get(sizes, below)
        merge = (top > 0) & (total_below * size > total * size_below)
        more = taken < n
        entry = _get(x, jnp.minimum(taken, n - 1))
        absorb = ~merge & more & (total > entry * size)
        push = ~merge & more & ~absorb
        total = jnp.where(merge, total_below + total, jnp.where(push, entry, jnp.where(absorb, total + entry, total)))
        size = jnp.where(merge, size_below + size, jnp.where(push, one, jnp.where(absorb, size + 1, size)))
        top = jnp.where(merge, top - 1, jnp.where(push, top + 1, top))
        return merge | more, jnp.where(absorb | push, taken + 1, taken), top, total, size, totals, sizes

    zero, stack = jnp.zeros((), jnp.int32), jnp.zeros_like(x)
    start = (jnp.asarray(True), zero + 1, zero, x[0], one, stack, stack)
    _, _, top, _, size, _, sizes = while_loop(lambda state: state[0], step, start)
    place = jnp.arange(n, dtype=jnp.int32)
    sizes = jnp.where(place < top, sizes, jnp.where(place == top, size, 0)).astype(jnp.int32)
    first = jnp.where(place <= top, jnp.cumsum(sizes) - sizes, n)
    return jnp.zeros(n, bool).at[first].set(True, mode="drop")


def _put(array: Array, value: Array, place: Array) -> Array:
    return lax.dynamic_update_index_in_dim(array, value, place, 0)


def _get(array: Array, place: Array) -> Array:
    return lax.dynamic_index_in_dim(array, place, keepdims=False)


def to_split(key: Float[Array, " n"], fit: Float[Array, " n"], starts: Bool[Array, " n"]) -> Float[Array, " n"]:
    """How far each place is from being a start, or from being none: the gap between the means on its two sides.

    At a start it is the step of `fit`. Inside a run from `a` to `b` it is what the two parts would differ by,
    `s (1 / (i - a) + 1 / (b - i))` with `s` the sum of `key - fit` from `a` to `i - 1`. Up to rounding it is zero.
    """
    n = key.shape[0]
    run, place = run_of(starts), jnp.arange(n, dtype=jnp.int32)
    begin, end = run_ends(run, place)
    left, right = (place - begin).astype(key.dtype), (end - place).astype(key.dtype)
    before = jnp.cumsum(key - fit) - (key - fit)
    inside = jnp.abs(before) * (1 / jnp.where(starts, 1, left) + 1 / right)
    return between_blocks(jnp.where(starts, jnp.abs(backward(fit)), inside), key, fit)


def between_blocks(
    distance: Float[Array, " n"], key: Float[Array, " n"], fit: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Distances at places between entries: 0 where they are rounding, infinite at the first entry, which has none."""
    size = jnp.abs(key) + jnp.abs(fit)
    return snapped(distance, size + jnp.roll(size, 1)).at[0].set(jnp.inf)


def backward(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """`x_i - x_{i-1}`, and 0 for the first."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), jnp.diff(x)])


def _isotonic_means(key: Array, rows: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
    starts = pool_adjacent_violators(key)
    return tuple(exact_run_mean(row, starts) for row in rows), starts.astype(key.dtype)


def _tangent_with(name: str, coarse: bool) -> Any:
    def tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple:
        (_, flags), key = result, lax.stop_gradient(primals[0])
        starts = flags > 0
        distance = to_split(key, run_mean(key, starts), starts)
        apart = starts & (distance > 0) if coarse else starts | (distance == 0)
        weight = choose(apart.astype(key.dtype), distance, name=name)
        return tuple(run_mean(row, weight > 0.5) for row in tangents[1]), jnp.zeros_like(flags)

    return tangent


# The means of `rows` over the runs of the isotonic regression of `key`, and flags where those start (numbers, since
# `shard_map` knows no derivative of truth values). The derivative is the same mean. Kinks lie where two adjacent runs
# of `key` have one mean. Tie rule: `joined` takes them as one run, `apart` as two. A fractional weight of the kink
# stands for the nearer of the two, since only these are elements.
joined = closed_form(_isotonic_means, _tangent_with("isotonic", True))
apart = closed_form(_isotonic_means, _tangent_with("permutahedron", False))
