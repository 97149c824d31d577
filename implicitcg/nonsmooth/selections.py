"""What to choose at a kink: the element of each local Jacobian that a rule stands for.

Every function here has the shape `rule(site, default, distance, weight)` and changes only ambiguous entries: those
whose distance is at most `tol`, and, among several candidates, only when at least two of them are within `tol`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .choice import CHOOSABLE
from .sites import Rule, Site


def runs(gap: Array, tol: float) -> Array:
    """Labels along the last axis, equal inside a run of ties: entry `i + 1` joins `i` when `gap[i] <= tol`."""
    breaks = ~(gap[..., :-1] <= tol)
    start = jnp.zeros((*gap.shape[:-1], 1), jnp.int32)
    return jnp.concatenate([start, jnp.cumsum(breaks.astype(jnp.int32), -1)], -1)


def ambiguous(site: Site, distance: Array, tol: float | Array) -> Array:
    """Which entries may be chosen otherwise; for the kinds with an axis of candidates, the mask has that axis too."""
    near = distance <= tol
    if site.kind in ("simplex", "index"):
        return near & (near.sum(-1, keepdims=True) > 1)
    if site.kind == "order":
        near = near.at[..., -1].set(False)
        after = jnp.concatenate([jnp.zeros_like(near[..., :1]), near[..., :-1]], -1)
        return near | after
    return near


def uniform(value: Any, tol: float) -> Rule:
    """The same weight everywhere: `value` on the upper branch or first candidate, the rest on the lower or last one."""

    def rule(site: Site, default: Array, distance: Array, weight: Array | None) -> Array:
        if site.kind not in CHOOSABLE:
            return default
        where = ambiguous(site, distance, tol)
        v = jnp.asarray(value, distance.dtype)
        if site.kind == "interval":
            other = jnp.broadcast_to(v.astype(default.dtype), default.shape)
        elif site.kind == "simplex":
            other = v * first_of(where, default) + (1 - v) * last_of(where, default)
        elif site.kind == "index":
            other = jnp.where(v >= 0.5, first_of(where, default), last_of(where, default))
        elif site.kind == "order":
            other = jnp.where(v >= 0.5, default, _sorted_within(runs(distance, tol), -_places(default), default))
        else:
            other = jnp.full_like(default, 1 / default.shape[-1] ** 0.5) * (2 * v - 1)
        return jnp.where(where, other, default)

    return rule


def by_name(values: dict[str, Any], tol: float) -> Rule:
    """A weight for each primitive that is named; the others keep their own rule."""
    rules = {name: uniform(value, tol) for name, value in values.items()}

    def rule(site: Site, default: Array, distance: Array, weight: Array | None) -> Array:
        return rules[site.name](site, default, distance, weight) if site.name in rules else default

    return rule


def scored(tol: float) -> Rule:
    """The branch with the higher score, scores in [0, 1) being given as the weights: a random selection."""

    def rule(site: Site, default: Array, distance: Array, score: Array | None) -> Array:
        if score is None or site.kind not in CHOOSABLE:
            return default
        where = ambiguous(site, distance, tol)
        if site.kind == "interval":
            other = (score > 0.5).astype(default.dtype)
        elif site.kind in ("simplex", "index"):
            other = first_of(where & (score == jnp.where(where, score, -1).max(-1, keepdims=True)), default)
        elif site.kind == "order":
            other = _sorted_within(runs(distance, tol), score, default)
        else:
            centred = (score - 0.5).astype(default.dtype)
            other = centred / jnp.sqrt((centred**2).sum(-1, keepdims=True))
        return jnp.where(where, other, default)

    return rule


def given(tol: float | Array) -> Rule:
    """The weights that are given, where the choice is ambiguous."""

    def rule(site: Site, default: Array, distance: Array, weight: Array | None) -> Array:
        if weight is None or site.kind not in CHOOSABLE:
            return default
        return jnp.where(ambiguous(site, distance, tol), weight.astype(default.dtype), default)

    return rule


def random_scores(places: tuple[Site, ...], key: Array) -> list[Array]:
    """Scores for every site, independent of one another."""
    dtype = jnp.result_type(float)
    return [jax.random.uniform(jax.random.fold_in(key, i), site.shape, dtype) for i, site in enumerate(places)]


def first_of(mask: Array, like: Array) -> Array:
    """One at the first entry of the mask along the last axis, zero elsewhere."""
    return (mask & (jnp.cumsum(mask, -1) == 1)).astype(like.dtype)


def last_of(mask: Array, like: Array) -> Array:
    """One at the last entry of the mask along the last axis, zero elsewhere."""
    return jnp.flip(first_of(jnp.flip(mask, -1), like), -1)


def _places(like: Array) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, like.shape, like.ndim - 1)


def _sorted_within(labels: Array, key: Array, order: Array) -> Array:
    """`order` sorted by `key` inside each run."""
    *_, result = jax.lax.sort([labels, key, order], num_keys=2, is_stable=True)
    return result
