"""A sparse design matrix whose pattern is traced: entries with their coordinates, by generic scattered sums."""

from __future__ import annotations

from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jaxtyping import Float, Int

from .abstract_design import AbstractDesign


class CoordinateDesign(AbstractDesign):
    """`X` as entries `data[k]` at `(row[k], column[k])`, no two at one place; those outside `shape` do not count.

    For a pattern that is only known when the program runs. `SparseDesign` is faster where it is known before.
    """

    dimensions: tuple[int, int] = eqx.field(static=True)
    data: Float[Array, " t"]
    row: Int[Array, " t"]
    column: Int[Array, " t"]

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, p)`."""
        return self.dimensions

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self.data.dtype

    def product(self, w: Float[Array, " p"]) -> Float[Array, " n"]:
        """`X w`."""
        return _sums(self.data * _at(w, self.column), self.row, self.shape[0])

    def adjoint_product(self, r: Float[Array, " n"]) -> Float[Array, " p"]:
        """`X^T r`."""
        return _sums(self.data * _at(r, self.row), self.column, self.shape[1])

    def column_squares(self, weights: Float[Array, " n"]) -> Float[Array, " p"]:
        """`sum_i s_i X_ij^2`."""
        return _sums(jnp.square(self.data) * _at(weights, self.row), self.column, self.shape[1])

    def column_variances(self, weights: Float[Array, " n"]) -> Float[Array, " p"]:
        """`sum s_i (X_ij - m_j)^2` over the entries, and `m_j^2` times the weight of the zeros."""
        p, mean, own = self.shape[1], self.adjoint_product(weights), _at(weights, self.row)
        around = _sums(jnp.square(self.data - _at(mean, self.column)) * own, self.column, p)
        return around + jnp.maximum(1 - _sums(own, self.column, p), 0) * jnp.square(mean)

    def columns(self, index: Int[Array, " c"]) -> Float[Array, "n c"]:
        """A few columns, dense."""
        c = index.shape[0]
        position = jnp.arange(c, dtype=jnp.int32)
        first = jnp.full(self.shape[1], c, jnp.int32).at[index].min(position)
        target = first.at[self.column].get(mode="fill", fill_value=c)
        dense = jnp.zeros((self.shape[0], c), self.dtype).at[self.row, target].add(self.data, mode="drop")
        return dense[:, first[index]]

    def take_rows(self, index: Int[Array, " m"]) -> CoordinateDesign:
        """The rows `index`; the entries of others move outside."""
        n, m = self.shape[0], index.shape[0]
        to = jnp.full(n, m, jnp.int32).at[index].set(jnp.arange(m, dtype=jnp.int32))
        row = to.at[self.row].get(mode="fill", fill_value=m)
        return CoordinateDesign((m, self.shape[1]), self.data, row, self.column)

    def astype(self, dtype: Any) -> Self:
        """The same pattern in another dtype."""
        return eqx.tree_at(lambda X: X.data, self, self.data.astype(dtype))

    def entries(self) -> Array:
        """The entries."""
        return self.data

    def to_host(self) -> Any:
        """A SciPy CSC matrix."""
        data, row, column = map(np.asarray, (self.data, self.row, self.column))
        kept = (row < self.shape[0]) & (column < self.shape[1])
        return scipy.sparse.csc_matrix((data[kept], (row[kept], column[kept])), shape=self.shape)


def _at(values: Array, index: Array) -> Array:
    return values.at[index].get(mode="fill", fill_value=0)


def _sums(terms: Array, segment: Array, count: int) -> Array:
    return jax.ops.segment_sum(terms, segment, count)
