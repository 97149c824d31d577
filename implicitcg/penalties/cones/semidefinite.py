"""The cone of positive semidefinite matrices, as vectors."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ...nonsmooth import psd_part
from .cone import AbstractCone


class PSD(AbstractCone):
    """Symmetric positive semidefinite matrices of order `n` as vectors of length `n (n + 1) / 2`, their own dual.

    The vector is Clarabel's scaled triangle: the columns of the upper triangle one after the other, entries off the
    diagonal times `sqrt(2)`, so that the inner product of vectors is that of matrices: `(S11, sqrt(2) S12, S22, ...)`.

    Tie rule: an eigenvalue that is zero stays zero (`icg.nonsmooth.psd_part`); repeated eigenvalues are no kink. Cost:
    one eigendecomposition, `O(n^3)`.

    >>> import jax.numpy as jnp
    >>> cone = PSD(2)
    >>> cone.matrix(cone.project(cone.vector(jnp.array([[1.0, 2.0], [2.0, -2.0]])))).round(4).tolist()
    [[1.600000023841858, 0.800000011920929], [0.800000011920929, 0.4000000059604645]]
    """

    order: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.order < 0:
            raise ValueError(f"The order of a matrix is not negative, and {self.order} was given.")

    @property
    def dimension(self) -> int:
        """`n (n + 1) / 2`."""
        return self.order * (self.order + 1) // 2

    def matrix(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch n n"]:
        """The symmetric matrix of a vector."""
        place, scale = self._places()
        return self.checked(v)[..., place] / _broadcast(scale, v, 2)

    def vector(self, S: Float[Array, "*batch n n"]) -> Float[Array, "*batch d"]:
        """The vector of a symmetric matrix, read from its lower triangle."""
        row, column = np.tril_indices(self.order)
        return S[..., row, column] * _broadcast(np.where(row == column, 1.0, np.sqrt(2.0)), S, 1)

    def project(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """The eigenvalues made nonnegative."""
        return self.vector(psd_part(self.matrix(x)))

    def dual(self) -> PSD:
        """The cone itself."""
        return self

    def project_dual(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        return self.project(v)

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """For every entry of the matrix its place in the vector, and how it is scaled there."""
        row, column = np.indices((self.order, self.order))
        high, low = np.maximum(row, column), np.minimum(row, column)
        return high * (high + 1) // 2 + low, np.where(row == column, 1.0, np.sqrt(2.0))


def _broadcast(scale: np.ndarray, like: Array, axes: int) -> Array:
    """The constant `scale` with as many axes as an array of the batch of `like` and `axes` more."""
    batch = like.ndim - (2 if axes == 1 else 1)
    return jnp.asarray(scale, like.dtype).reshape((1,) * batch + scale.shape)
