"""A design matrix that is one array in memory."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from .abstract_design import AbstractDesign, dense_gram


class DenseDesign(AbstractDesign):
    """`X` as an array, which is its only leaf.

    The methods leave to JAX what it has an operation for: an array multiplies matrices by itself, and a mean over
    samples without weights reads no vector of equal ones.
    """

    array: Float[Array, "n p"]
    dense: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int]:
        """`(n, p)`."""
        return self.array.shape  # type: ignore[return-value]

    def product(self, w: Float[Array, " p"]) -> Float[Array, " n"]:
        """`X w`."""
        return self.array @ w

    def adjoint_product(self, r: Float[Array, " n"]) -> Float[Array, " p"]:
        """`X^T r`."""
        return r @ self.array

    def columns(self, index: Int[Array, " c"]) -> Float[Array, "n c"]:
        """A few columns."""
        return jnp.take(self.array, index, axis=1, mode="clip")

    def column_means(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i X_ij`."""
        return jnp.mean(self.array, axis=0) if weights is None else weights @ self.array

    def column_squares(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i X_ij^2`."""
        if weights is None:
            return jnp.einsum("ij,ij->j", self.array, self.array) / self.shape[0]
        return jnp.einsum("i,ij,ij->j", weights, self.array, self.array)

    def column_variances(self, weights: Float[Array, " n"] | None = None) -> Float[Array, " p"]:
        """`sum_i s_i (X_ij - m_j)^2`."""
        squares = jnp.square(self.array - self.column_means(weights)[None, :])  # fused with the sum: never stored
        return jnp.mean(squares, axis=0) if weights is None else jnp.sum(weights[:, None] * squares, axis=0)

    def gram(self, index: Int[Array, " c"], weights: Float[Array, " n"] | None, centred: bool) -> Float[Array, "c c"]:
        """`X_I^T D X_I`."""
        if weights is not None or centred:
            return dense_gram(self.columns(index), self.shares(weights), centred)
        if index.shape[0] == self.shape[1]:  # all columns, in some order: no copy of X
            return (self.array.T @ self.array)[index[:, None], index] / self.shape[0]
        few = self.columns(index)
        return few.T @ few / self.shape[0]

    def take_rows(self, index: Int[Array, " m"]) -> DenseDesign:
        """The rows `index`, which may repeat."""
        return DenseDesign(jnp.take(self.array, index, axis=0))

    @property
    def entries(self) -> Array:
        """All of them."""
        return self.array

    def astype(self, dtype: Any) -> DenseDesign:
        """The same array in another dtype."""
        return DenseDesign(self.array.astype(dtype))

    def on_host(self) -> np.ndarray:
        """A NumPy array."""
        return np.asarray(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype, copy=copy)

    def __matmul__(self, other: Any) -> Array:
        return self.array @ jnp.asarray(other)

    def __rmatmul__(self, other: Any) -> Array:
        return jnp.asarray(other) @ self.array
