"""The features a homotopy works with at a time: their columns, Gram matrix and swept tableau, in fixed buffers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ...base import fori_loop, switch
from .quadratic_loss import QuadraticLoss
from .slot_sizes import Sizes
from .tableau import Tableau
from .thresholds import THRESHOLDS


class Slots(NamedTuple):
    """Features `feature[:filled]` (the rest holds `p`), their weights and signs, `gram` and its tableau.

    Weights, columns and Gram matrix are in units in which the Hessian has diagonal one. The columns lie row by row, so
    that a few of them are one piece of memory.
    """

    feature: Int[Array, " c"]
    filled: Int[Array, ""]
    w: Float[Array, " c"]
    sign: Float[Array, " c"]
    gram: Float[Array, "c c"]
    columns: Float[Array, "c n"] | None
    tableau: Tableau

    def take(self, values: Float[Array, " p"]) -> Float[Array, " c"]:
        """The values of these features, and zero in slots not in use."""
        return jnp.where(self.used(), jnp.take(values, self.feature, mode="clip"), 0)

    def used(self) -> Bool[Array, " c"]:
        """Which slots hold a feature."""
        return jnp.arange(self.feature.shape[0], dtype=jnp.int32) < self.filled

    def scatter(self, values: Float[Array, " c"], features: int) -> Float[Array, " p"]:
        """The values at their features, and zero elsewhere."""
        return jnp.zeros(features, values.dtype).at[self.feature].set(values, mode="drop")


def open_slots(loss: QuadraticLoss, sizes: Sizes, w: Float[Array, " p"]) -> Slots:
    """Slots for the support of `w`, whose tableau is still to be made."""
    dtype, size = w.dtype, sizes.buffer
    support = w != 0
    score, index = lax.top_k(support.astype(jnp.float32), min(sizes.room, sizes.features))
    index = jnp.where(score > 0, index, sizes.features)
    index = jnp.pad(index, (0, size - index.shape[0]), constant_values=sizes.features).astype(jnp.int32)
    used = index < sizes.features
    unit = jnp.where(used, jnp.take(loss.unit, index, mode="clip"), 0)
    inside = jnp.where(used, jnp.take(w / loss.unit, index, mode="clip"), 0)
    columns = None
    if loss.smooth.X.dense and not sizes.whole:
        columns = _copied(loss, index, unit)

    # The branches below differ in size only, so that a start with few active features pays for few products: a switch
    # and no mask, since their number grows with the square of the size.
    def gram(first: int) -> Array:
        if first == 0:
            return jnp.zeros((size, size), dtype)
        block = loss.hessian_block(w, jnp.where(used, index, 0)[:first]) * unit[:first, None] * unit[None, :first]
        return jnp.pad(block, (0, size - first))

    nothing = Tableau(
        jnp.zeros((sizes.rows, size), dtype),
        jnp.zeros(sizes.rows, dtype),
        jnp.zeros(sizes.rows, jnp.int32),
        jnp.where(jnp.any(support), sizes.rows, 0).astype(jnp.int32),  # full: to be made anew before the first use
        jnp.zeros(size, dtype),
    )
    count = used.sum().astype(jnp.int32)
    firsts = (0, sizes.before, sizes.room) if sizes.before else (0, sizes.room)
    branch = sum((count > first).astype(jnp.int32) for first in firsts[:-1])
    block = switch(branch, [lambda first=first: gram(first) for first in firsts])
    return Slots(index, count, inside, jnp.sign(inside), block, columns, nothing)


def tidy(slots: Slots, sizes: Sizes, score: Float[Array, " p"]) -> Slots:
    """The same with a fresh tableau, and, where they are nearly full, with the least promising features dropped."""
    # Every knot has added a row to the tableau, so at some time there are more rows than active features. Swept anew it
    # has one row for each, and the rounding of all knots before is gone. The same moment serves to drop features: those
    # that are active stay, of the others those that are predicted to enter last go.
    size = sizes.buffer
    active = slots.sign != 0
    number = active.sum().astype(jnp.int32)
    enough = jnp.clip(number + number // 4, sizes.limit // 4, sizes.limit - sizes.chunk)
    full = (slots.filled > sizes.limit - sizes.chunk) & (not sizes.whole)
    keep = jnp.where(full, jnp.minimum(enough, slots.filled), slots.filled)
    rank = jnp.where(active, jnp.inf, jnp.where(slots.used(), slots.take(score), -1))
    order = jnp.argsort(-rank)
    kept = jnp.arange(size, dtype=jnp.int32) < keep
    gram = jnp.where(kept[:, None] & kept[None, :], slots.gram[order][:, order], 0)
    sign = jnp.where(kept, slots.sign[order], 0)
    tableau = _swept(gram, sign != 0, number, sizes)
    # a start whose support is dependent has no tableau: begin without it, the next full gradient sets all right
    healthy = jnp.all(jnp.isfinite(tableau.rows))
    tableau = jax.tree.map(lambda a: jnp.where(healthy, a, jnp.zeros_like(a)), tableau)
    return Slots(
        jnp.where(kept, slots.feature[order], sizes.features).astype(jnp.int32),
        keep,
        jnp.where(kept & healthy, slots.w[order], 0),
        jnp.where(healthy, sign, 0),
        gram,
        None if slots.columns is None else jnp.where(kept[:, None], slots.columns[order], 0),
        tableau,
    )


def _copied(loss: QuadraticLoss, index: Int[Array, " c"], unit: Float[Array, " c"]) -> Float[Array, "c n"]:
    """The columns `index`, centred where an intercept is fitted and in the units given, row by row."""
    return (loss.smooth.centred(loss.smooth.X.columns(index)) * unit[None, :]).T


def _crossed(columns: Float[Array, "c n"], others: Float[Array, "k n"], count: Int[Array, ""]) -> Float[Array, "c k"]:
    """All products of `columns` with `others`; of many columns only blocks of the first `count`."""
    c, n = columns.shape
    if c <= 2 * THRESHOLDS.columns:
        return columns @ others.T

    def block(i: Array, cross: Array) -> Array:
        start, zero = jnp.minimum(i * THRESHOLDS.columns, c - THRESHOLDS.columns), jnp.zeros_like(i)
        part = lax.dynamic_slice(columns, (start, zero), (THRESHOLDS.columns, n)) @ others.T
        return lax.dynamic_update_slice(cross, part, (start, zero))

    blocks = (count + THRESHOLDS.columns - 1) // THRESHOLDS.columns
    return fori_loop(jnp.zeros_like(blocks), blocks, block, jnp.zeros((c, others.shape[0]), columns.dtype))


def _crossed_with_all(loss: QuadraticLoss, new: Int[Array, " k"], unit: Float[Array, " k"]) -> Float[Array, "k p"]:
    """The products of the columns `new`, where their unit is not zero, with all of `X`; the last ones may be zero."""
    smooth, size = loss.smooth, min(THRESHOLDS.copied, new.shape[0])

    def piece(i: Array, every: Array) -> Array:
        start, zero = jnp.minimum(i * size, new.shape[0] - size), jnp.zeros_like(i)
        some, units = (lax.dynamic_slice(values, (start,), (size,)) for values in (new, unit))
        part = smooth.weighted(_copied(loss, some, units).T).T @ smooth.X
        return lax.dynamic_update_slice(every, part, (start, zero))

    pieces = ((unit > 0).sum().astype(jnp.int32) + size - 1) // size
    every = jnp.zeros((new.shape[0], loss.unit.shape[0]), unit.dtype)
    return fori_loop(jnp.zeros_like(pieces), pieces, piece, every)


def _swept(gram: Array, active: Array, number: Array, sizes: Sizes) -> Tableau:
    def within(room: int) -> Tableau:
        return Tableau.swept(gram, active, room=room, capacity=sizes.rows)

    if not sizes.before:
        return within(sizes.room)
    return switch((number > sizes.before).astype(jnp.int32), [lambda: within(sizes.before), lambda: within(sizes.room)])


def add(loss: QuadraticLoss, slots: Slots, new: Int[Array, " k"], wanted: Bool[Array, " k"]) -> Slots:
    """With the features `new`, of which the first ones are wanted, in the slots behind those in use."""
    # The Gram matrix grows by one strip of products, written twice, and the tableau by the same strip, to which all its
    # sweeps are applied at once. What a slot beyond those wanted gets has unit zero: its products vanish, and the next
    # chunk is written over it.
    smooth, at = loss.smooth, slots.filled
    zero = jnp.zeros_like(at)
    features = loss.threshold.shape[0]
    unit = jnp.where(wanted, loss.unit[new], 0)
    index = lax.dynamic_update_slice(slots.feature, jnp.where(wanted, new, features).astype(jnp.int32), (at,))
    count = at + wanted.sum().astype(jnp.int32)
    used = jnp.arange(index.shape[0], dtype=jnp.int32) < count
    units = jnp.where(used, jnp.take(loss.unit, index, mode="clip"), 0)
    columns = None
    if not smooth.X.dense:
        inside = jnp.minimum(index, features - 1)
        cross = smooth.X.cross_gram(inside, new, smooth.weights(), smooth.fit_intercept)
        cross = cross * units[:, None] * unit[None, :]
    elif slots.columns is None:
        cross = jnp.take(_crossed_with_all(loss, new, unit), index, axis=1, mode="clip").T * units[:, None]
    else:
        fresh = _copied(loss, new, unit)
        columns = lax.dynamic_update_slice(slots.columns, fresh, (at, zero))
        cross = _crossed(columns, smooth.weighted(fresh.T).T, count)
    if loss.ridge is not None:
        place = at + jnp.arange(new.shape[0], dtype=jnp.int32)
        cross = cross.at[place, jnp.arange(new.shape[0], dtype=jnp.int32)].add(loss.ridge[new] * jnp.square(unit))
    gram = lax.dynamic_update_slice(lax.dynamic_update_slice(slots.gram, cross, (zero, at)), cross.T, (at, zero))
    return Slots(index, count, slots.w, slots.sign, gram, columns, slots.tableau.extend(cross, at))
