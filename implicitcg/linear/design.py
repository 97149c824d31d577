"""The doors: what users call a matrix becomes one of ours, checked once, and sparse ones are never filled.

Problems hold an `AbstractMatrix` from here on, and losses an `AbstractDesign`: nothing behind asks what kind it is.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jax.experimental.sparse import BCOO, JAXSparse
from jaxtyping import ArrayLike, Float, Int

from ..base import checks, concrete_value
from .abstract_design import AbstractDesign
from .coordinate_design import CoordinateDesign
from .dense_design import DenseDesign
from .matrix import AbstractMatrix
from .sparse_design import SparseDesign

DesignLike = Float[ArrayLike, "n p"] | AbstractDesign | scipy.sparse.sparray | scipy.sparse.spmatrix | JAXSparse


def with_response(X: Any, y: Any) -> tuple[AbstractDesign, Array]:
    """A design matrix `(n, p)`, dense or sparse, and its response `(n,)`, of one dtype and checked as far as known."""
    made, y = _of_one_dtype(X, checks.floating(y, "y"))
    checks.response(made.shape, y)
    _require_finite(made, y, "y")
    return made, y


def with_responses(X: Any, Y: Any) -> tuple[AbstractDesign, Array]:
    """As `with_response`, for responses `(n, t)`, a column a task."""
    made, Y = _of_one_dtype(X, checks.floating(Y, "Y"))
    checks.responses(made.shape, Y)
    _require_finite(made, Y, "Y")
    return made, Y


def design_matrix(X: Any) -> AbstractDesign:
    """`X` as a design matrix: sparse ones in our layout, with finite entries where known; others as an array.

    Raises:
        TypeError: no numbers, complex entries, a kind of sparse matrix of JAX other than BCOO, one with batch or dense
            dimensions. ValueError: sparse and not a matrix, no row or no column, NaN or infinite entries.
    """
    if isinstance(X, AbstractDesign):
        return X
    if not _is_sparse(X):
        return DenseDesign(checks.floating(X, "X"))
    if len(X.shape) != 2:
        raise ValueError(f"X has shape {X.shape}; a matrix of shape (n, p) is needed: n samples by p features.")
    if 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}: there is no sample or no feature to fit.")
    design = _laid_out(*_listed(X, "X"), (X.shape[0], X.shape[1]), unique=isinstance(X, BCOO) and X.unique_indices)
    checks.require_finite(design.entries, "X")
    return design


def as_given(X: AbstractDesign) -> Any:
    """What a user's function is given for `X`: a plain array where it is one, so that any code can read it."""
    return X.entries if X.dense else X


def take_rows(X: Any, index: Int[Array, " m"]) -> Any:
    """The rows `index` of what `as_given` gives, as it gives them."""
    return as_given(design_matrix(X).take_rows(index))


def problem_matrix(value: Any, name: str) -> AbstractMatrix:
    """A dense array, a SciPy sparse matrix or a `BCOO` as a matrix; its entries are checked to be finite where known.

    Raises:
        TypeError: what is none of these, or complex. ValueError: not two axes, or entries that are not finite.
    """
    if isinstance(value, AbstractMatrix):
        return value
    if _is_sparse(value):
        data, row, column = _listed(value, name)
        if isinstance(row, np.ndarray):  # by columns, as factorisations want them
            order = np.lexsort((row, column))
            data, row, column = data[order], row[order], column[order]
        row, column = (jnp.asarray(place, jnp.int32) for place in (row, column))
        made = CoordinateDesign(checks.floating(data, name), row, column, (int(value.shape[0]), int(value.shape[1])))
    else:
        made = DenseDesign(checks.floating(value, name))
    if len(made.shape) != 2:
        raise ValueError(f"{name} has shape {made.shape}; a matrix is needed.")
    checks.require_finite(made.entries, name)
    return made


def _of_one_dtype(X: Any, y: Array) -> tuple[AbstractDesign, Array]:
    made = design_matrix(X)
    dtype = jnp.result_type(made.dtype, y.dtype)
    return made if made.dtype == dtype else made.astype(dtype), y.astype(dtype)


def _require_finite(X: AbstractDesign, y: Array, name: str) -> None:
    if X.dense:  # others were looked through when they were laid out
        checks.require_finite(X.entries, "X")
    checks.require_finite(y, name)


def _is_sparse(X: Any) -> bool:
    return scipy.sparse.issparse(X) or isinstance(X, JAXSparse)


def _listed(X: Any, name: str) -> tuple[Any, Any, Any]:
    """The entries of a sparse matrix, their rows and their columns, as NumPy arrays as far as they are known."""
    if len(X.shape) != 2:
        raise ValueError(f"{name} has shape {X.shape}; a matrix is needed.")
    if scipy.sparse.issparse(X):
        matrix: Any = scipy.sparse.coo_array(X)
        kept = matrix.data != 0  # explicit zeros; no derivative can be asked of SciPy's numbers
        return matrix.data[kept], *(place[kept] for place in matrix.coords)
    if not isinstance(X, BCOO):
        raise TypeError(
            f"{name} is a {type(X).__name__}; of JAX's sparse matrices BCOO is supported: `{name}.to_bcoo()`."
        )
    if X.n_batch or X.n_dense:
        raise TypeError(
            f"{name} is a BCOO matrix with {X.n_batch} batch and {X.n_dense} dense dimensions; neither is supported. "
            f"Use `jax.vmap` over its data for a batch, and `BCOO.fromdense({name}.todense())` for plain entries."
        )
    indices = concrete_value(X.indices)
    row, column = (X.indices if indices is None else np.asarray(indices)).T
    return (np.asarray(X.data) if concrete_value(X.data) is X.data else X.data), row, column


def _laid_out(data: Any, row: Any, column: Any, shape: tuple[int, int], *, unique: bool) -> AbstractDesign:
    if np.issubdtype(data.dtype, np.complexfloating) or data.dtype == object:
        raise TypeError(f"X holds {data.dtype} entries; real numbers are needed.")
    floating = jnp.issubdtype(data.dtype, jnp.floating)
    data = data.astype(jax.dtypes.canonicalize_dtype(data.dtype if floating else jnp.result_type(float)))
    if not data.size:  # a matrix of zeros keeps one of them, so that no array is empty
        return SparseDesign.of(np.zeros(1, data.dtype), np.zeros(1, int), np.zeros(1, int), shape)
    if isinstance(row, np.ndarray):
        return SparseDesign.of(data, row, column, shape)
    if not unique:
        summed = BCOO((data, jnp.stack([row, column], axis=1)), shape=shape).sum_duplicates(nse=data.size)
        data, (row, column) = summed.data, summed.indices.T
    return CoordinateDesign(data, row, column, shape)
