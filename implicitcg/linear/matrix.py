"""Matrices as data of a problem: dense, or sparse with a fixed pattern and entries that are differentiated."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jax.experimental.sparse import BCOO, JAXSparse
from jaxtyping import Float, Int

from ..base import concrete_value
from ..base.checks import floating, require_finite


class AbstractMatrix(eqx.Module):
    """A matrix `(m, n)` that multiplies vectors from both sides and can be handed to a library on the host."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """`(m, n)`."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """The dtype of the entries."""

    @abc.abstractmethod
    def astype(self, dtype: Any) -> AbstractMatrix:
        """The same matrix with entries of another dtype."""

    @abc.abstractmethod
    def product(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        """`A x`."""

    @abc.abstractmethod
    def adjoint_product(self, y: Float[Array, " m"]) -> Float[Array, " n"]:
        """`A^T y`."""

    @abc.abstractmethod
    def on_host(self) -> scipy.sparse.csc_array:
        """The matrix in SciPy's compressed columns, in float64; only for concrete entries."""


class DenseMatrix(AbstractMatrix):
    """A dense matrix."""

    entries: Float[Array, "m n"]

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.entries.shape
        return m, n

    @property
    def dtype(self) -> Any:
        return self.entries.dtype

    def astype(self, dtype: Any) -> DenseMatrix:
        return DenseMatrix(self.entries.astype(dtype))

    def product(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        return self.entries @ x

    def adjoint_product(self, y: Float[Array, " m"]) -> Float[Array, " n"]:
        return y @ self.entries

    def on_host(self) -> scipy.sparse.csc_array:
        return scipy.sparse.csc_array(np.asarray(self.entries, np.float64))


class SparseMatrix(AbstractMatrix):
    """A sparse matrix by its entries `data` at `(row, column)`, in the order of columns; repeated entries add up."""

    data: Float[Array, " t"]
    row: Int[Array, " t"]
    column: Int[Array, " t"]
    dimensions: tuple[int, int] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.dimensions

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    def astype(self, dtype: Any) -> SparseMatrix:
        return SparseMatrix(self.data.astype(dtype), self.row, self.column, self.dimensions)

    def product(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        return jnp.zeros(self.shape[0], self.dtype).at[self.row].add(self.data * x[self.column])

    def adjoint_product(self, y: Float[Array, " m"]) -> Float[Array, " n"]:
        terms = self.data * y[self.row]
        return jnp.zeros(self.shape[1], self.dtype).at[self.column].add(terms, indices_are_sorted=True)

    def on_host(self) -> scipy.sparse.csc_array:
        starts = np.searchsorted(np.asarray(self.column), np.arange(self.shape[1] + 1)).astype(np.int32)
        data, row = np.array(self.data, np.float64), np.array(self.row)  # repeated entries add up in place
        matrix = scipy.sparse.csc_array((data, row, starts), shape=self.shape)
        if not matrix.has_canonical_format:
            matrix.sum_duplicates()
        return matrix


def problem_matrix(value: Any, name: str) -> AbstractMatrix:
    """A dense array, a SciPy sparse matrix or a `BCOO` as a matrix; its entries are checked to be finite where known.

    Raises:
        TypeError: what is none of these, or complex. ValueError: not two axes, or entries that are not finite.
    """
    if isinstance(value, AbstractMatrix):
        return value
    if scipy.sparse.issparse(value):
        given = scipy.sparse.coo_array(value)
        data, row, column = floating(given.data, name), given.coords[0], given.coords[1]
        order = np.lexsort((row, column))
        matrix = _sparse(data[order], row[order], column[order], value.shape, name)
        require_finite(data, name)
        return matrix
    if isinstance(value, JAXSparse):
        return _of_bcoo(value, name)
    array = floating(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; a matrix is needed.")
    require_finite(array, name)
    return DenseMatrix(array)


def _of_bcoo(value: Any, name: str) -> SparseMatrix:
    if not isinstance(value, BCOO) or value.n_batch or value.n_dense or value.ndim != 2:
        raise TypeError(
            f"{name} is a {type(value).__name__} with shape {value.shape}; of JAX's sparse matrices a BCOO of two "
            "sparse axes is taken: `BCOO.fromdense(M)`, and `jax.vmap` for batches."
        )
    data = floating(value.data, name)
    require_finite(data, name)
    rows, columns = value.shape
    known = concrete_value(value.indices)
    if known is not None:
        indices = np.asarray(known)
        inside = np.flatnonzero((indices[:, 0] < rows) & (indices[:, 1] < columns))  # the others are padding
        row, column = indices[inside, 0], indices[inside, 1]
        order = np.lexsort((row, column))
        return _sparse(data[inside[order]], row[order], column[order], value.shape, name)
    row, column = value.indices[:, 0], value.indices[:, 1]
    inside = (row < rows) & (column < columns)
    order = jnp.lexsort((row, jnp.where(inside, column, columns - 1)))
    data = jnp.where(inside, data, 0)[order]
    row, column = (jnp.where(inside, part, size - 1)[order] for part, size in ((row, rows), (column, columns)))
    return _sparse(data, row, column, value.shape, name)


def _sparse(data: Any, row: Any, column: Any, shape: tuple[int, ...], name: str) -> SparseMatrix:
    if len(shape) != 2:
        raise ValueError(f"{name} has shape {shape}; a matrix is needed.")
    return SparseMatrix(
        jnp.asarray(data), jnp.asarray(row, jnp.int32), jnp.asarray(column, jnp.int32), (int(shape[0]), int(shape[1]))
    )
