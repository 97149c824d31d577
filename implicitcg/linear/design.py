"""What losses ask of a design matrix `X` of shape `(n, p)`, beyond `X @ w` and `r @ X`.

Every loss goes through these functions, so that another kind of matrix has one place to plug in. A design matrix is a
JAX array or an `AbstractDesign`; SciPy and BCOO matrices become one where a model takes its data in.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jax.experimental import sparse as jax_sparse
from jaxtyping import Float, Int

from ..base import checks, concrete_value
from .abstract_design import AbstractDesign, dense_gram, weighted_columns
from .coordinate_design import CoordinateDesign
from .sparse_design import SparseDesign


def with_response(X: Any, y: Any) -> tuple[Array, Array]:
    """A design matrix `(n, p)`, dense or sparse, and its response `(n,)`, of one dtype and checked as far as known.

    To type checkers every design is an array: losses only use what both have.
    """
    made: Any = design_matrix(X)
    if not isinstance(made, AbstractDesign):
        return checks.design(X, y)
    y = checks.floating(y, "y")
    y = y.astype(jnp.promote_types(y.dtype, made.dtype))
    _, y = checks.design(jnp.zeros((made.shape[0], 1), y.dtype), y)  # the checks of `y`, beside as many rows
    return _matched(made, y)


def with_responses(X: Any, Y: Any) -> tuple[Array, Array]:
    """As `with_response`, for responses `(n, t)`, a column a task."""
    made: Any = design_matrix(X)
    if not isinstance(made, AbstractDesign):
        return checks.design_and_responses(X, Y)
    Y = checks.floating(Y, "Y")
    Y = Y.astype(jnp.promote_types(Y.dtype, made.dtype))
    _, Y = checks.design_and_responses(jnp.zeros((made.shape[0], 1), Y.dtype), Y)
    return _matched(made, Y)


def design_matrix(X: Any) -> Any:
    """`X` as a design matrix: sparse ones in our layout, never filled; others as they are.

    Raises:
        TypeError: complex entries, a kind of sparse matrix of JAX other than BCOO, one with batch or dense dimensions.
        ValueError: not a matrix, no row or no column, NaN or infinite entries.
    """
    if isinstance(X, AbstractDesign):
        return X
    if scipy.sparse.issparse(X):
        design = _from_scipy(X)
    elif isinstance(X, jax_sparse.JAXSparse):
        design = _from_bcoo(X)
    else:
        return X
    checks.require_finite(design.entries(), "X")
    return design


def columns(X: Any, index: Int[Array, " c"]) -> Float[Array, "n c"]:
    """A few columns of `X`, dense."""
    return X.columns(index) if isinstance(X, AbstractDesign) else jnp.take(X, index, axis=1, mode="clip")


def column_means(X: Any, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
    """`sum_i s_i X_ij`, for weights that sum to one; `None` means equal ones."""
    if isinstance(X, AbstractDesign):
        return _weights(X, weights) @ X
    return jnp.mean(X, axis=0) if weights is None else weights @ X


def column_squares(X: Any, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
    """`sum_i s_i X_ij^2`, for weights that sum to one; `None` means equal ones."""
    if isinstance(X, AbstractDesign):
        return X.column_squares(_weights(X, weights))
    if weights is None:
        return jnp.einsum("ij,ij->j", X, X) / X.shape[0]
    return jnp.einsum("i,ij,ij->j", weights, X, X)


def column_variances(X: Any, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
    """`sum_i s_i (X_ij - m_j)^2` about the weighted means, for weights that sum to one; `None` means equal ones."""
    if isinstance(X, AbstractDesign):
        return X.column_variances(_weights(X, weights))
    squares = jnp.square(X - column_means(X, weights)[None, :])  # fused with the sum: never stored
    return jnp.mean(squares, axis=0) if weights is None else jnp.sum(weights[:, None] * squares, axis=0)


def gram(
    X: Any, index: Int[Array, " c"], weights: Float[Array, " n"] | None = None, centred: bool = False
) -> Float[Array, "c c"]:
    """`X_I^T D X_I` for the columns `I`, with `D = diag(weights)`; `None` means `1/n` each.

    Where `centred`, the columns are centred at their means under the weights, which need not sum to one.
    """
    if isinstance(X, AbstractDesign):
        return X.gram(index, _weights(X, weights), centred)
    if weights is None and not centred:
        if index.shape[0] == X.shape[1]:  # all columns, in some order: no copy of X
            return (X.T @ X)[index[:, None], index] / X.shape[0]
        few = columns(X, index)
        return few.T @ few / X.shape[0]
    return dense_gram(columns(X, index), _weights(X, weights), centred)


def cross_gram(
    X: Any,
    index: Int[Array, " c"],
    other: Int[Array, " k"],
    weights: Float[Array, " n"] | None = None,
    centred: bool = False,
) -> Float[Array, "c k"]:
    """`X_I^T D X_J` for the columns `I` and `J`; weights and centring as in `gram`."""
    if isinstance(X, AbstractDesign):
        return X.cross_gram(index, other, _weights(X, weights), centred)
    return columns(X, index).T @ weighted_columns(columns(X, other), _weights(X, weights), centred)


def take_rows(X: Any, index: Int[Array, " m"]) -> Any:
    """The rows `index` of `X`, which must differ from one another if `X` is sparse."""
    return X.take_rows(index) if isinstance(X, AbstractDesign) else jnp.take(X, index, axis=0)


def entries(X: Any) -> Array:
    """The stored numbers of `X`."""
    return X.entries() if isinstance(X, AbstractDesign) else X


def to_host(X: Any) -> Any:
    """`X` as a NumPy array or a SciPy sparse matrix."""
    return X.to_host() if isinstance(X, AbstractDesign) else np.asarray(X)


def _matched(X: Any, y: Array) -> tuple[Array, Array]:
    dtype = jnp.result_type(X.dtype, y.dtype)
    return X.astype(dtype), y.astype(dtype)


def _weights(X: Any, weights: Array | None) -> Array:
    return jnp.full(X.shape[0], 1 / X.shape[0], X.dtype) if weights is None else weights


def _from_scipy(X: Any) -> SparseDesign:
    matrix = X.tocoo()
    _require_matrix(matrix.shape)
    row, column = matrix.coords if hasattr(matrix, "coords") else (matrix.row, matrix.col)
    data = _real(matrix.data)
    kept = data != 0  # explicit zeros; no derivative can be asked of SciPy's numbers
    if not kept.any():  # a matrix of zeros keeps one of them, so that no array is empty
        data, row, column, kept = np.zeros(1, data.dtype), np.zeros(1, int), np.zeros(1, int), np.ones(1, bool)
    return SparseDesign.of(data[kept], row[kept], column[kept], (matrix.shape[0], matrix.shape[1]))


def _from_bcoo(X: Any) -> AbstractDesign:
    if not isinstance(X, jax_sparse.BCOO):
        raise TypeError(f"X is a {type(X).__name__}; of JAX's sparse matrices BCOO is supported: `X.to_bcoo()`.")
    _require_matrix(X.shape)
    if X.n_batch or X.n_dense:
        raise TypeError(
            f"X is a BCOO matrix with {X.n_batch} batch and {X.n_dense} dense dimensions; neither is supported. Use "
            "`jax.vmap` over its data for a batch, and `BCOO.fromdense(X.todense())` for plain entries."
        )
    if X.nse == 0:
        return _from_scipy(scipy.sparse.coo_matrix(X.shape, dtype=X.data.dtype))
    data = _real(X.data)
    indices = concrete_value(X.indices)
    if indices is not None:
        row, column = np.asarray(indices).T
        known = concrete_value(data) is data
        return SparseDesign.of(np.asarray(data) if known else data, row, column, (X.shape[0], X.shape[1]))
    X = jax_sparse.BCOO((data, X.indices), shape=X.shape, unique_indices=X.unique_indices)
    if not X.unique_indices:
        X = X.sum_duplicates(nse=X.nse)
    return CoordinateDesign((X.shape[0], X.shape[1]), X.data, X.indices[:, 0], X.indices[:, 1])


def _real(data: Any) -> Any:
    """Entries in a floating dtype that JAX has at present; NumPy stays NumPy."""
    if np.issubdtype(data.dtype, np.complexfloating) or data.dtype == object:
        raise TypeError(f"X holds {data.dtype} entries; real numbers are needed.")
    floating = jnp.issubdtype(data.dtype, jnp.floating)
    return data.astype(jax.dtypes.canonicalize_dtype(data.dtype if floating else jnp.result_type(float)))


def _require_matrix(shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ValueError(f"X has shape {shape}; a matrix of shape (n, p) is needed: n samples by p features.")
    if 0 in shape:
        raise ValueError(f"X has shape {shape}: there is no sample or no feature to fit.")
