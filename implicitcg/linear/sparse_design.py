"""A sparse design matrix whose pattern is known on the host: products by long sums, Gram blocks without filling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array, lax
from jaxtyping import Float, Int

from ..base import fori_loop, vary_together
from .abstract_design import AbstractDesign, weighted_columns
from .sparse_layout import entry_layout, most_strips
from .thresholds import THRESHOLDS

STRIPS = THRESHOLDS.strips
HERE = {"mode": "promise_in_bounds", "wrap_negative_indices": False}  # indices that are known to be right


class SparseDesign(AbstractDesign):
    """`X` by columns cut into strips, as `sparse_layout` says; `data` are the entries, the only differentiable leaf.

    `rows` is `n` in the padding. Products see one more row there, which is zero, so what `data` holds in the padding
    has no effect, and its derivative is zero.
    """

    dimensions: tuple[int, int] = eqx.field(static=True)
    data: Float[Array, "h s"]
    rows: Int[Array, "h s"]
    owner: Int[Array, " s"]
    start: Int[Array, " p"]
    strips: Int[Array, " p"]
    largest: tuple[tuple[int, int], ...] = eqx.field(static=True)

    @classmethod
    def of(cls, data: Any, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> SparseDesign:
        """From entries in any order; repeated ones add up. `data` may be traced, the indices may not."""
        plan = entry_layout(row, column, shape)
        size = plan.rows.size
        if isinstance(data, np.ndarray):
            stored = np.bincount(plan.place, data, minlength=size + 1)[:size].astype(data.dtype)
        else:
            stored = jnp.zeros(size, data.dtype).at[plan.place].add(data, mode="drop")
        data = jnp.asarray(stored.reshape(plan.rows.shape))
        rows, owner, start, strips = map(jnp.asarray, (plan.rows, plan.owner, plan.start, plan.strips))
        return cls(shape, data, rows, owner, start, strips, plan.largest)

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, p)`."""
        return self.dimensions

    def product(self, w: Float[Array, " p"]) -> Float[Array, " n"]:
        """`X w`, by scattered addition: the one product that needs it."""
        spread, total = w.at[self.owner].get(**HERE), jnp.zeros(self.shape[0] + 1, w.dtype)
        data, spread, total = vary_together((self.data, spread, total))

        def add(total: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
            return total.at[row[1]].add(row[0] * spread, **HERE), None

        return lax.scan(add, total, (data, self.rows))[0][: self.shape[0]]

    def combination(self, index: Int[Array, " c"], v: Float[Array, " c"]) -> Float[Array, " n"]:
        """`X_I v` for different columns, by scattered addition of their entries only."""
        strip, owner, total = self._strips(jnp.minimum(index, self.shape[1] - 1), index < self.shape[1])

        def add(i: Any, made: Array) -> Array:
            row, value, place = self._block(i, strip, owner, total)
            return made.at[row].add(value * v[place][None, :], **HERE)

        made = jnp.zeros(self.shape[0] + 1, self.dtype)
        return fori_loop(0, -(-total // STRIPS), add, made)[: self.shape[0]]

    def adjoint_product(self, r: Float[Array, " n"]) -> Float[Array, " p"]:
        """`X^T r`, by sums over the strips."""
        return self._column_sums(r)

    def column_squares(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i X_ij^2`."""
        return self._column_sums(self.shares(weights), jnp.square)

    def column_variances(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum s_i (X_ij - m_j)^2` over the entries, and `m_j^2` times the weight of the zeros: nothing cancels."""
        weights = self.shares(weights)
        mean = self.adjoint_product(weights)
        own = mean.at[self.owner].get(**HERE)
        around = self._column_sums(weights, lambda data: jnp.square(data - own))
        zeros = jnp.maximum(1 - self._column_sums(weights, jnp.ones_like), 0)
        return around + zeros * jnp.square(mean)

    def columns(self, index: Int[Array, " c"]) -> Float[Array, "n c"]:
        """A few columns, dense."""
        n, c = self.shape[0], index.shape[0]
        place, distinct = self._distinct(index)
        row, owner, value = self._entries(index, distinct)
        return jnp.zeros((n, c), self.dtype).at[row, owner].add(value, mode="drop")[:, place]

    def gram(self, index: Int[Array, " c"], weights: Float[Array, " n"] | None, centred: bool) -> Float[Array, "c c"]:
        """`X_I^T D X_I`, pairing the entries of every row; by dense columns where `X` is filled too well for that.

        Each round takes the last entry left in every row, pairs it with all entries of the row, and drops it; there are
        as many rounds as entries in the fullest row of `X_I`.
        """
        n, c, weights = self.shape[0], index.shape[0], self.shares(weights)
        # at most one scattered addition per entry and column, against n multiplications
        if self._capacity(c) > THRESHOLDS.fill * n * c:
            return super().gram(index, weights, centred)
        place, distinct = self._distinct(index)
        row, owner, value = self._entries(index, distinct)
        padded = jnp.append(weights, jnp.zeros((), weights.dtype))
        weighted = padded[row] * value
        rounds = jnp.max(jnp.zeros(n + 1, jnp.int32).at[row].add(1)[:n])
        number = jnp.arange(len(row), dtype=jnp.int32)

        def pair(_: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
            lower, row = state
            last = jnp.zeros(n + 1, jnp.int32).at[row].max(number, mode="promise_in_bounds")[row]
            target = jnp.where(row < n, owner[last] * c + owner, c * c)
            lower = lower.at[target].add(value[last] * weighted, mode="drop")
            return lower, jnp.where(number == last, n, row)

        lower, _ = fori_loop(0, rounds, pair, (jnp.zeros(c * c, self.dtype), row))
        lower = lower.reshape(c, c)  # entries are in the order of their columns, so the last one has the largest
        block = lower + jnp.tril(lower, -1).T
        if centred:
            sums = jnp.zeros(c, self.dtype).at[owner].add(weighted)
            block = block - jnp.outer(sums, sums) / jnp.sum(weights)
        return block[place[:, None], place]

    def cross_gram(
        self, index: Int[Array, " c"], other: Int[Array, " k"], weights: Float[Array, " n"] | None, centred: bool
    ) -> Float[Array, "c k"]:
        """`X_I^T D X_J` with `X_J` dense: for every entry of `X_I` one multiple of a row of `D X_J` is added."""
        n, k = self.shape[0], other.shape[0]
        place, distinct = self._distinct(index)
        place_of_other, distinct_others = self._distinct(other)
        row, owner, value = self._entries(other, distinct_others)
        dense = jnp.zeros((n, k), self.dtype).at[row, owner].add(value, mode="drop")
        dense = weighted_columns(dense, self.shares(weights), centred)
        strip, owner, total = self._strips(index, distinct)

        def add(i: Any, block: Array) -> Array:
            row, value, column = self._block(i, strip, owner, total)

            def entry(e: Any, sums: Array) -> Array:
                return sums + value[e][:, None] * dense.at[jnp.minimum(row[e], n - 1)].get(**HERE)

            sums = fori_loop(0, len(row), entry, jnp.zeros((STRIPS, k), self.dtype))
            return block.at[column].add(sums, **HERE)

        return fori_loop(0, -(-total // STRIPS), add, jnp.zeros((index.shape[0], k), self.dtype))[place][
            :, place_of_other
        ]

    def take_rows(self, index: Int[Array, " m"]) -> SparseDesign:
        """The same pattern with other row numbers: rows left out become padding."""
        n, m = self.shape[0], index.shape[0]
        to = jnp.full(n + 1, m, jnp.int32).at[index].set(jnp.arange(m, dtype=jnp.int32))
        shape = (m, self.shape[1])
        return SparseDesign(shape, self.data, to[self.rows], self.owner, self.start, self.strips, self.largest)

    def astype(self, dtype: Any) -> Self:
        """The same pattern in another dtype."""
        return eqx.tree_at(lambda X: X.data, self, self.data.astype(dtype))

    @property
    def entries(self) -> Array:
        """The entries, and zeros."""
        return self.data

    def on_host(self) -> scipy.sparse.csc_array:
        """In SciPy's compressed columns."""
        data, rows, owner = np.asarray(self.data), np.asarray(self.rows), np.asarray(self.owner)
        kept = rows < self.shape[0]
        column = np.broadcast_to(owner, rows.shape)
        return scipy.sparse.csc_array((data[kept], (rows[kept], column[kept])), shape=self.shape)

    def _column_sums(self, r: Array, entry: Callable[[Array], Array] = lambda data: data) -> Array:
        """`sum_i r_i entry(X_ij)`, a row of the table after the other, so that nothing of its size is stored."""
        extended = jnp.append(r, jnp.zeros((), r.dtype))
        sums = jnp.zeros(self.data.shape[1], self.dtype)
        data, extended, sums = vary_together((self.data, extended, sums))

        def add(sums: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
            return sums + entry(row[0]) * extended.at[row[1]].get(**HERE), None

        sums = lax.scan(add, sums, (data, self.rows))[0]
        return jnp.zeros(self.shape[1], sums.dtype).at[self.owner].add(sums, indices_are_sorted=True, **HERE)

    def _capacity(self, c: int) -> int:
        """How many positions `c` different columns have at the most."""
        return most_strips(self.largest, c) * self.data.shape[0]

    def _distinct(self, index: Array) -> tuple[Array, Array]:
        """For each place of `index` the place that stands for its column, and which places do."""
        position = jnp.arange(index.shape[0], dtype=jnp.int32)
        place = jnp.zeros(self.shape[1], jnp.int32).at[index].max(position)[index]
        return place, place == position

    def _strips(self, index: Array, wanted: Array) -> tuple[Array, Array, Array]:
        """The strips of the columns `index` that are `wanted`, one column after the other, their places, their number.

        Behind the last one both are of no meaning. They are padded to a multiple of `STRIPS`.
        """
        count = jnp.where(wanted, self.strips[index], 0)
        ends = _prefix_sums(count)
        most = most_strips(self.largest, len(index))
        number = jnp.arange(most + -most % STRIPS, dtype=jnp.int32)
        # as many columns have ended before a strip as its own place says: a search or `jnp.repeat` compile for longer
        ended = jnp.zeros(len(number) + 1, jnp.float32).at[ends].add(1, mode="drop")[:-1]
        owner = jnp.minimum(_prefix_sums(ended).astype(jnp.int32), len(index) - 1)
        strip = jnp.where(number < ends[-1], (self.start[index] - ends + count)[owner] + number, 0)
        return strip, owner, ends[-1]

    def _block(self, i: Any, strip: Array, owner: Array, total: Array) -> tuple[Array, Array, Array]:
        """Rows, numbers and places of the strips from `STRIPS i` on; `(n, 0)` in the padding."""
        at = i * STRIPS
        some, place = (lax.dynamic_slice_in_dim(a, at, STRIPS) for a in (strip, owner))
        inside = at + jnp.arange(STRIPS, dtype=jnp.int32) < total
        row = jnp.where(inside[None, :], self.rows[:, some], self.shape[0])
        return row, jnp.where(row < self.shape[0], self.data[:, some], 0), place

    def _entries(self, index: Array, wanted: Array) -> tuple[Array, Array, Array]:
        """The entries of the columns `index` that are `wanted`, one column after the other: `(row, place, value)`.

        In the padding and behind the last one `row` is `n` and the value 0.
        """
        n, height = self.shape[0], self.data.shape[0]
        strip, owner, total = self._strips(index, wanted)
        inside = jnp.arange(len(strip), dtype=jnp.int32) < total
        row = jnp.where(inside[:, None], self.rows[:, strip].T, n).ravel()
        owner = jnp.broadcast_to(owner[:, None], (len(owner), height)).ravel()
        return row, owner, jnp.where(row < n, self.data[:, strip].T.ravel(), 0)


def _prefix_sums(terms: Array) -> Array:
    """`jnp.cumsum` by two small products with triangles of ones: a tenth of the kernels to compile.

    In full precision: accelerators would round counts above a thousand otherwise.
    """
    c = len(terms)
    width = math.isqrt(c - 1) + 1
    table = jnp.pad(terms, (0, width * width - c)).reshape(width, width)
    ones = jnp.triu(jnp.ones((width, width), terms.dtype))
    within = jnp.matmul(table, ones, precision=lax.Precision.HIGHEST)
    before = jnp.matmul(within[:, -1], jnp.triu(ones, 1), precision=lax.Precision.HIGHEST)
    return (within + before[:, None]).ravel()[:c]
