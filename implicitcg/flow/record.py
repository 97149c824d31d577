"""The record of a flow: its steps, the branches held on each segment, and the crossings between segments."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .field import Field


class Record(eqx.Module):
    """`N` steps at most, `S` segments, `C = S - 1` crossings; `K` switching functions, `E` events.

    Steps: from `times[k]`, `states[k]` to the next, on segment `segments[k]`; `crosses[k]` tells that the step ends on
    the crossing that closes its segment. Segments: `branches`, the branches behind them, and `flat`, the largest
    margin seen on the whole segment (zero: the flow stays on the kink). Crossings: `index` of the switching function,
    the events that `fired`, the `speed` at which its margin fell, their `step`.
    """

    times: Array
    states: Array
    segments: Array
    crosses: Array
    branches: Array
    others: Array
    flat: Array
    index: Array
    fired: Array
    stops: Array
    jumped: Array
    speed: Array
    step: Array
    steps: Array
    crossings: Array
    tried: Array


def empty(field: Field, t: Array, y: Array, max_steps: int, max_crossings: int) -> Record:
    """A record without a step."""
    K, E, segments = field.count, len(field.events), max_crossings + 1
    none = jnp.zeros((), jnp.int32)
    return Record(
        times=jnp.full(max_steps + 1, jnp.inf, t.dtype).at[0].set(t),
        states=jnp.zeros((max_steps + 1, y.size), y.dtype).at[0].set(y),
        segments=jnp.zeros(max_steps + 1, jnp.int32),
        crosses=jnp.zeros(max_steps + 1, bool),
        branches=jnp.zeros((segments, K), jnp.int32),
        others=jnp.zeros((segments, K), jnp.int32),
        flat=jnp.zeros((segments, K), y.dtype),
        index=jnp.zeros(max_crossings, jnp.int32),
        fired=jnp.zeros((max_crossings, E), bool),
        stops=jnp.zeros(max_crossings, bool),
        jumped=jnp.zeros(max_crossings, bool),
        speed=jnp.zeros(max_crossings, y.dtype),
        step=jnp.zeros(max_crossings, jnp.int32),
        steps=none,
        crossings=none,
        tried=none,
    )


def put(buffer: Array, index: Array, value: Any, where: Array) -> Array:
    """`buffer[index] = value` where `where` holds; a scatter, so that a batch copies no buffer."""
    return buffer.at[jnp.where(where, index, buffer.shape[0])].set(value, mode="drop")
