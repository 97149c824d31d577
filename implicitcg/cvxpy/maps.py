"""Affine maps with sparse matrices that are known in advance, applied inside JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array, ops
from jaxtyping import Float


class SparseMap:
    """The linear map `v -> M v` of a constant sparse matrix, as gathers where a row reads few entries.

    Only numbers are kept, so that a map pickles, and only gathers and sums are traced, so that JAX differentiates and
    batches it like any other code. Rows without entries are constant zeros.

    Args:
        matrix: any SciPy sparse matrix `(m, k)`.
    """

    def __init__(self, matrix: Any):
        matrix = scipy.sparse.csr_array(matrix)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        self.shape: tuple[int, int] = matrix.shape
        counts = np.diff(matrix.indptr)
        self._width = int(counts.max(initial=0))
        self._columns = matrix.indices.astype(np.int32)
        self._weights = matrix.data
        self._rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), counts)
        self._one_each = bool(np.all(counts == 1))
        self._plain = bool(np.all(matrix.data == 1))
        self._identity = (
            self._one_each and self._plain and bool(np.array_equal(self._columns, np.arange(matrix.shape[1])))
        )

    def __call__(self, v: Float[Array, " k"]) -> Float[Array, " m"]:
        """`M v`."""
        if self._identity:
            return v
        if self._width == 0:
            return jnp.zeros(self.shape[0], v.dtype)
        terms = v[self._columns]
        if not self._plain:
            terms = terms * self._weights.astype(v.dtype)
        if self._one_each:
            return terms
        if self._width == 1:
            return (
                jnp.zeros(self.shape[0], v.dtype)
                .at[self._rows]
                .set(terms, indices_are_sorted=True, unique_indices=True)
            )
        return ops.segment_sum(terms, self._rows, self.shape[0], indices_are_sorted=True)

    def matrix(self) -> scipy.sparse.csr_array:
        """`M`."""
        return scipy.sparse.csr_array((self._weights, (self._rows, self._columns)), shape=self.shape)


def matrix_of(function: Callable[[np.ndarray], Any], size: int) -> scipy.sparse.csr_array:
    """The sparse matrix of a linear `function` of a vector of `size` entries, found by calling it.

    Where every output is a multiple of one input, as in reshaping, transposing, unpacking a triangle or scaling, three
    calls tell which: with the labels `l`, the output is `c l` and with their squares `c l^2`. A third call with
    arbitrary numbers confirms it; a function that is not of this kind is called once an input.
    """

    def call(v: np.ndarray) -> np.ndarray:
        return np.asarray(function(v), dtype=float).ravel()

    labels = np.arange(1.0, size + 1)
    first, second = call(labels), call(labels**2)
    used = first != 0
    guess = np.zeros(first.shape, dtype=int)
    guess[used] = np.clip(np.rint(second[used] / first[used]), 1, max(size, 1)).astype(int)
    rows = np.flatnonzero(used)
    columns = guess[rows] - 1
    weights = first[rows] / labels[columns] if size else np.zeros(0)
    matrix = scipy.sparse.csr_array((weights, (rows, columns)), shape=(first.size, size))
    arbitrary = np.random.default_rng(0).standard_normal(size)
    if np.allclose(matrix @ arbitrary, call(arbitrary), rtol=1e-12, atol=1e-12):
        return matrix
    columns_one_by_one = [scipy.sparse.csc_array(call(unit)[:, None]) for unit in np.eye(size)]
    return scipy.sparse.csr_array(scipy.sparse.hstack(columns_one_by_one))
