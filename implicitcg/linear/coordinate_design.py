"""A sparse matrix by its entries and their coordinates, of any pattern, traced or not: generic scattered sums."""

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
    """`X` as entries `data[k]` at `(row[k], column[k])`, in any order; those outside `dimensions` do not count.

    For a pattern that is only known when the program runs, where `SparseDesign` is faster, and for the matrices of cone
    programs, which are factorised elsewhere. Products add up what stands at one place; squares, variances and columns
    are those of `X` only where no two entries do, as in every design that a model takes in.
    """

    data: Float[Array, " t"]
    row: Int[Array, " t"]
    column: Int[Array, " t"]
    dimensions: tuple[int, int] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, p)`."""
        return self.dimensions

    def product(self, w: Float[Array, " p"]) -> Float[Array, " n"]:
        """`X w`."""
        return _sums(self.data * _at(w, self.column), self.row, self.shape[0])

    def adjoint_product(self, r: Float[Array, " n"]) -> Float[Array, " p"]:
        """`X^T r`."""
        return _sums(self.data * _at(r, self.row), self.column, self.shape[1])

    def column_squares(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i X_ij^2`."""
        return _sums(jnp.square(self.data) * _at(self.shares(weights), self.row), self.column, self.shape[1])

    def column_variances(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum s_i (X_ij - m_j)^2` over the entries, and `m_j^2` times the weight of the zeros."""
        p, weights = self.shape[1], self.shares(weights)
        mean, own = self.adjoint_product(weights), _at(weights, self.row)
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
        return CoordinateDesign(self.data, row, self.column, (m, self.shape[1]))

    def astype(self, dtype: Any) -> Self:
        """The same pattern in another dtype."""
        return eqx.tree_at(lambda X: X.data, self, self.data.astype(dtype))

    @property
    def entries(self) -> Array:
        """The entries."""
        return self.data

    def on_host(self) -> scipy.sparse.csc_array:
        """In SciPy's compressed columns, of which the columns need no search where the entries are in their order."""
        data, row, column = np.array(self.data), np.array(self.row), np.asarray(self.column)
        kept = (row < self.shape[0]) & (column < self.shape[1])
        if not kept.all():
            data, row, column = data[kept], row[kept], column[kept]
        if (column[1:] >= column[:-1]).all():
            starts = np.searchsorted(column, np.arange(self.shape[1] + 1)).astype(np.int32)
            matrix = scipy.sparse.csc_array((data, row, starts), shape=self.shape)
            if matrix.has_canonical_format:
                return matrix
        return scipy.sparse.csc_array((data, (row, column)), shape=self.shape)


def _at(values: Array, index: Array) -> Array:
    return values.at[index].get(mode="fill", fill_value=0)


def _sums(terms: Array, segment: Array, count: int) -> Array:
    return jax.ops.segment_sum(terms, segment, count)
