"""A sparse design matrix whose pattern is known on the host: products without scatter, Gram blocks without filling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jaxtyping import Float, Int

from ..base import fori_loop
from .abstract_design import AbstractDesign, weighted_columns
from .sparse_layout import layout

# A Gram block costs at most one scattered addition per entry and column, against n multiplications: measured on two
# cores, an addition takes the time of 40 multiplications of a matrix product.
FILL = 1 / 40
ENTRIES = 1024  # entries of a cross block at a time: some hundred microseconds of work, out of cache nowhere


class SparseDesign(AbstractDesign):
    """`X` by columns, padded as `sparse_layout` says; `data` are the entries and the only differentiable leaf.

    `rows` is `n` in the padding. Products see one more row there, which is zero, so what `data` holds in the padding
    has no effect, and its derivative is zero.
    """

    dimensions: tuple[int, int] = eqx.field(static=True)
    data: Float[Array, " t"]
    rows: Int[Array, " t"]
    order: Int[Array, " p"]
    slot: Int[Array, " p"]
    start: Int[Array, " p"]
    count: Int[Array, " p"]
    slices: tuple[tuple[int, int], ...] = eqx.field(static=True)

    @classmethod
    def of(cls, data: Any, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> SparseDesign:
        """From entries in any order; repeated ones add up. `data` may be traced, the indices may not."""
        plan = layout(row, column, shape)
        if isinstance(data, np.ndarray):
            stored = np.bincount(plan.place, data, minlength=plan.size + 1)[: plan.size].astype(data.dtype)
        else:
            stored = jnp.zeros(plan.size, data.dtype).at[plan.place].add(data, mode="drop")
        parts = (stored, plan.rows, plan.order, plan.slot, plan.start, plan.filled)
        stored, rows, order, slot, start, count = map(jnp.asarray, parts)
        return cls(shape, stored, rows, order, slot, start, count, plan.slices)

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, p)`."""
        return self.dimensions

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self.data.dtype

    def product(self, w: Float[Array, " p"]) -> Float[Array, " n"]:
        """`X w`, by scattered addition: the one product that needs it."""
        return self._scattered(self.data * self._spread(w[self.order]))

    def combination(self, index: Int[Array, " c"], v: Float[Array, " c"]) -> Float[Array, " n"]:
        """`X_I v` for different columns, by scattered addition of their entries only."""
        row, owner, value = self._entries(jnp.minimum(index, self.shape[1] - 1), index < self.shape[1])
        return jnp.zeros(self.shape[0], self.dtype).at[row].add(value * v[owner], mode="drop")

    def adjoint_product(self, r: Float[Array, " n"]) -> Float[Array, " p"]:
        """`X^T r`, by sums over the slices."""
        return self._column_sums(self.data, r)

    def column_squares(self, weights: Float[Array, " n"]) -> Float[Array, " p"]:
        """`sum_i s_i X_ij^2`."""
        return self._column_sums(jnp.square(self.data), weights)

    def column_variances(self, weights: Float[Array, " n"]) -> Float[Array, " p"]:
        """`sum s_i (X_ij - m_j)^2` over the entries, and `m_j^2` times the weight of the zeros: nothing cancels."""
        mean = self.adjoint_product(weights)
        around = self._column_sums(jnp.square(self.data - self._spread(mean[self.order])), weights)
        zeros = jnp.maximum(1 - self._column_sums(jnp.ones_like(self.data), weights), 0)
        return around + zeros * jnp.square(mean)

    def columns(self, index: Int[Array, " c"]) -> Float[Array, "n c"]:
        """A few columns, dense."""
        n, c = self.shape[0], index.shape[0]
        place, distinct = self._distinct(index)
        row, owner, value = self._entries(index, distinct)
        return jnp.zeros((n, c), self.dtype).at[row, owner].add(value, mode="drop")[:, place]

    def gram(self, index: Int[Array, " c"], weights: Float[Array, " n"], centred: bool) -> Float[Array, "c c"]:
        """`X_I^T D X_I`, pairing the entries of every row; by dense columns where `X` is filled too well for that.

        Each round takes the last entry left in every row, pairs it with all entries of the row, and drops it; there are
        as many rounds as entries in the fullest row of `X_I`.
        """
        n, c = self.shape[0], index.shape[0]
        capacity = self._capacity(c)
        if capacity > FILL * n * c:
            return super().gram(index, weights, centred)
        place, distinct = self._distinct(index)
        row, owner, value = self._entries(index, distinct)
        padded = jnp.append(weights, jnp.zeros((), weights.dtype))
        weighted = padded[row] * value
        rounds = jnp.max(jnp.zeros(n + 1, jnp.int32).at[row].add(1)[:n])
        number = jnp.arange(capacity, dtype=jnp.int32)

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
        self, index: Int[Array, " c"], other: Int[Array, " k"], weights: Float[Array, " n"], centred: bool
    ) -> Float[Array, "c k"]:
        """`X_I^T D X_J` with `X_J` dense: for every entry of `X_I` one multiple of a row of `D X_J` is added."""
        k = other.shape[0]
        place, distinct = self._distinct(index)
        rows = weighted_columns(self.columns(other), weights, centred)
        rows = jnp.concatenate([rows, jnp.zeros((1, k), rows.dtype)])
        row, owner, value = self._entries(index, distinct)
        spare = -row.shape[0] % ENTRIES
        row = jnp.pad(row, (0, spare), constant_values=self.shape[0]).reshape(-1, ENTRIES)
        owner, value = (jnp.pad(a, (0, spare)).reshape(-1, ENTRIES) for a in (owner, value))
        total = jnp.sum(jnp.where(distinct, self.count[index], 0))

        def add(i: Any, block: Array) -> Array:
            return block.at[owner[i]].add(value[i][:, None] * rows[row[i]], mode="promise_in_bounds")

        return fori_loop(0, -(-total // ENTRIES), add, jnp.zeros((index.shape[0], k), self.dtype))[place]

    def take_rows(self, index: Int[Array, " m"]) -> SparseDesign:
        """The same pattern with other row numbers: rows left out become padding."""
        n, m = self.shape[0], index.shape[0]
        to = jnp.full(n + 1, m, jnp.int32).at[index].set(jnp.arange(m, dtype=jnp.int32))
        rows = to[self.rows]
        slices = (self.order, self.slot, self.start, self.count, self.slices)
        return SparseDesign((m, self.shape[1]), self.data, rows, *slices)

    def astype(self, dtype: Any) -> Self:
        """The same pattern in another dtype."""
        return eqx.tree_at(lambda X: X.data, self, self.data.astype(dtype))

    def entries(self) -> Array:
        """The entries, and zeros."""
        return self.data

    def to_host(self) -> Any:
        """A SciPy CSC matrix."""
        data, rows, order = np.asarray(self.data), np.asarray(self.rows), np.asarray(self.order)
        column = np.repeat(order, np.repeat([w for _, w in self.slices], [m for m, _ in self.slices]))
        kept = rows < self.shape[0]
        return scipy.sparse.csc_matrix((data[kept], (rows[kept], column[kept])), shape=self.shape)

    def _cut(self, flat: Array) -> Iterator[Array]:
        begin = 0
        for many, width in self.slices:
            yield flat[begin : begin + many * width].reshape(many, width)
            begin += many * width

    def _column_sums(self, data: Array, r: Array) -> Array:
        extended = jnp.append(r, jnp.zeros((), r.dtype))
        parts = zip(self._cut(data), self._cut(self.rows), strict=True)
        # a product with ones: unlike a sum along rows it need not add one number after the other
        sums = [
            (part * extended.at[rows].get(mode="promise_in_bounds")) @ jnp.ones(rows.shape[1], r.dtype)
            for part, rows in parts
        ]
        return jnp.concatenate(sums)[self.slot]

    def _spread(self, values: Array) -> Array:
        """One value a stored column, repeated over its positions."""
        begin, parts = 0, []
        for many, width in self.slices:
            parts.append(jnp.broadcast_to(values[begin : begin + many, None], (many, width)).ravel())
            begin += many
        return jnp.concatenate(parts)

    def _scattered(self, terms: Array) -> Array:
        n = self.shape[0]
        return jnp.zeros(n + 1, terms.dtype).at[self.rows].add(terms, mode="promise_in_bounds")[:n]

    def _capacity(self, c: int) -> int:
        """How many entries `c` different columns have at the most."""
        total = 0
        for many, width in self.slices:
            total += min(many, c) * width
            c -= min(many, c)
        return total

    def _distinct(self, index: Array) -> tuple[Array, Array]:
        """For each place of `index` the place that stands for its column, and which places do."""
        position = jnp.arange(index.shape[0], dtype=jnp.int32)
        place = jnp.zeros(self.shape[1], jnp.int32).at[index].max(position)[index]
        return place, place == position

    def _entries(self, index: Array, wanted: Array) -> tuple[Array, Array, Array]:
        """The entries of the columns `index` that are `wanted`, one column after the other: `(row, place, value)`.

        Behind the last one `row` is `n` and the value 0.
        """
        n, c = self.shape[0], index.shape[0]
        count = jnp.where(wanted, self.count[index], 0)
        ends = jnp.cumsum(count)
        capacity = self._capacity(c)
        number = jnp.arange(capacity, dtype=jnp.int32)
        # a search is as fast as `jnp.repeat` here, whose running sum takes half a second to compile
        owner = jnp.minimum(jnp.searchsorted(ends, number, side="right"), c - 1).astype(jnp.int32)
        inside = number < ends[-1]
        position = jnp.where(inside, (self.start[index] - ends + count)[owner] + number, 0)
        row = jnp.where(inside, self.rows[position], n)
        return row, owner, jnp.where(row < n, self.data[position], 0)
