"""Nonnegative matrices with given sums: the transport polytope and the doubly stochastic matrices."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..penalties.domain import in_single, matrices, parameter_like, require
from ..penalties.sets import Birkhoff, Transport
from .project import project


def transport(
    M: Float[ArrayLike, "*batch m n"], row_sums: ArrayLike, column_sums: ArrayLike
) -> Float[Array, "*batch m n"]:
    """The projection on the transport polytope `{P >= 0, P 1 = row_sums, P^T 1 = column_sums}`: exact, no entropy.

    Args:
        M: matrices `(*batch, m, n)` with `m + n <= 2000`.
        row_sums: `(m,)`, nonnegative; or one for each matrix.
        column_sums: `(n,)`, nonnegative, with the same total.

    Returns:
        The nearest matrix. Derivatives in the sums are along changes that keep the two totals equal.

    Raises:
        ValueError: negative sums, different totals (the set is empty), more than 2000 rows and columns.

    Example:
        >>> import jax.numpy as jnp
        >>> transport(jnp.eye(2), jnp.array([1.0, 2.0]), jnp.array([1.5, 1.5])).round(4)
        Array([[1. , 0. ],
               [0.5, 1.5]], dtype=float32)
    """
    M = matrices(M)
    rows, columns = parameter_like(row_sums, "row_sums", M), parameter_like(column_sums, "column_sums", M)
    rows, columns = _sums(rows, "row_sums", M, -2), _sums(columns, "column_sums", M, -1)
    room = 4 * sum(M.shape[-2:]) * float(jnp.finfo(M.dtype).eps)
    rows = require(
        rows,
        lambda r, c: abs(r.sum(-1) - c.sum(-1)) <= room * abs(r.sum(-1)),
        "row_sums and column_sums have different totals: both are the sum of all entries, so the set is empty. Divide "
        "each by its total.",
        columns,
    )
    return in_single(project, Transport(rows, columns), M)


def birkhoff(M: Float[ArrayLike, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The projection on the doubly stochastic matrices `{P >= 0, P 1 = 1, P^T 1 = 1}`: exact, no entropy.

    Args:
        M: square matrices `(*batch, n, n)` with `n <= 1000`.

    Returns:
        The nearest matrix.

    Raises:
        ValueError: a matrix that is not square, or is too large.

    Example:
        >>> import jax.numpy as jnp
        >>> birkhoff(jnp.array([[1.0, 0.0], [0.0, 0.0]]))
        Array([[0.75, 0.25],
               [0.25, 0.75]], dtype=float32)
    """
    M = matrices(M)
    if M.shape[-1] != M.shape[-2]:
        raise ValueError(f"M has shape {M.shape}; doubly stochastic matrices are square.")
    return in_single(project, Birkhoff(), M)


def _sums(sums: Array, name: str, M: Array, axis: int) -> Array:
    if sums.ndim == 0 or sums.shape[-1] != M.shape[axis]:
        raise ValueError(f"{name} has shape {sums.shape}; with M of shape {M.shape} its length is {M.shape[axis]}.")
    return require(sums, lambda s: s >= 0, f"{name} has negative entries; no nonnegative matrix has such sums.")
