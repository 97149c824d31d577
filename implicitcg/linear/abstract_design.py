"""The contract of a design matrix: a matrix of which losses also ask for columns, rows and Gram blocks."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from .matrix import AbstractMatrix


class AbstractDesign(AbstractMatrix):
    """A matrix `X` of `n` samples by `p` features, known by its products and by a few of its columns.

    `X @ w` and `r @ X` work for vectors and for matrices, also with NumPy arrays on the other side. Weights `s` of the
    samples may be `None`, which means `1/n` each.

    Attributes:
        dense: whether it is one array in memory, `array`, of which copies are cheaper than blocks of products.
    """

    dense: ClassVar[bool] = False
    ndim: ClassVar[int] = 2
    __array_ufunc__: ClassVar[None] = None  # `r @ X` with a NumPy array on the left comes to us

    @abc.abstractmethod
    def columns(self, index: Int[Array, " c"]) -> Float[Array, "n c"]:
        """A few columns, dense."""

    @abc.abstractmethod
    def column_squares(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i X_ij^2`."""

    @abc.abstractmethod
    def column_variances(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i (X_ij - m_j)^2`, with `m_j` the mean under the weights, which sum to one."""

    @abc.abstractmethod
    def take_rows(self, index: Int[Array, " m"]) -> AbstractDesign:
        """The rows `index`, which must differ from one another unless the design is `dense`."""

    def shares(self, weights: Float[Array, " n"] | None) -> Float[Array, " n"]:
        """The weights, `1/n` each where none are given."""
        return jnp.full(self.shape[0], 1 / self.shape[0], self.dtype) if weights is None else weights

    def column_means(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i X_ij`, for weights that sum to one."""
        return self.adjoint_product(self.shares(weights))

    def combination(self, index: Int[Array, " c"], v: Float[Array, " c"]) -> Float[Array, " n"]:
        """`X_I v` for different columns; a place that holds `p` or more is empty."""
        return self.product(jnp.zeros(self.shape[1], v.dtype).at[index].set(v, mode="drop"))

    def gram(self, index: Int[Array, " c"], weights: Float[Array, " n"] | None, centred: bool) -> Float[Array, "c c"]:
        """`X_I^T D X_I` for the columns `I`, with `D = diag(weights)`.

        Where `centred`, the columns are centred at their means under the weights, which need not sum to one.
        """
        return dense_gram(self.columns(index), self.shares(weights), centred)

    def cross_gram(
        self, index: Int[Array, " c"], other: Int[Array, " k"], weights: Float[Array, " n"] | None, centred: bool
    ) -> Float[Array, "c k"]:
        """`X_I^T D X_J` for the columns `I` and `J`; weights and centring as in `gram`."""
        return self.columns(index).T @ weighted_columns(self.columns(other), self.shares(weights), centred)

    def __matmul__(self, other: Any) -> Array:
        other = jnp.asarray(other)
        if other.ndim not in (1, 2) or other.shape[0] != self.shape[1]:
            raise ValueError(f"X of shape {self.shape} cannot be multiplied by an array of shape {other.shape}.")
        return self.product(other) if other.ndim == 1 else jax.vmap(self.product, in_axes=1, out_axes=1)(other)

    def __rmatmul__(self, other: Any) -> Array:
        other = jnp.asarray(other)
        if other.ndim not in (1, 2) or other.shape[-1] != self.shape[0]:
            raise ValueError(f"An array of shape {other.shape} cannot be multiplied by X of shape {self.shape}.")
        return self.adjoint_product(other) if other.ndim == 1 else jax.vmap(self.adjoint_product)(other)


def dense_gram(columns: Float[Array, "n c"], weights: Float[Array, " n"], centred: bool) -> Float[Array, "c c"]:
    """`C^T D C` for dense columns `C`, centred at their weighted means where asked."""
    columns = centred_columns(columns, weights) if centred else columns
    return columns.T @ (weights[:, None] * columns)


def weighted_columns(columns: Float[Array, "n k"], weights: Float[Array, " n"], centred: bool) -> Float[Array, "n k"]:
    """`D C` for dense columns, of which the sum is zero where `centred`: then the other side needs no centring."""
    return weights[:, None] * (centred_columns(columns, weights) if centred else columns)


def centred_columns(columns: Float[Array, "n k"], weights: Float[Array, " n"]) -> Float[Array, "n k"]:
    """Dense columns minus their means under the weights, which need not sum to one."""
    return columns - (weights @ columns)[None, :] / jnp.sum(weights)
