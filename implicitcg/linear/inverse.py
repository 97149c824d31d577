"""One word for "I can solve with `B`": the contract of all inverses, and the inverse of any matrix.

Structure is what makes a derivative cheap: a factor on a face, a reduced KKT system, a callback to the host, a
splitting. Each of them stands beside its own algebra and looks the same from here, so that who solves need not know
which one it is.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
from jax import Array
from jax.scipy.linalg import lu_solve
from jaxtyping import Bool, Float

from .solves import lu


class Facts(NamedTuple):
    """What is known of an inverse before any right side is.

    Attributes:
        applies: whether it is an inverse of the `B` at hand, and not of another selection or of a face of fewer
            unknowns; `True` where that cannot be otherwise, `None` where it is not known.
        dear: whether products with `B` are cheaper, so that an automatic choice tries those first.
        regular: whether `B` is invertible, where that is known for every right side at once, from the pivots of a
            factorisation. `None` where it is not: each solution is then judged by its own residual.
    """

    applies: Bool[Array, ""] | bool | None = None
    dear: bool = False
    regular: Bool[Array, ""] | None = None


class AbstractInverse(eqx.Module):
    """A way to solve with `B` and `B^T`, that makes use of what `B` is made of."""

    @abc.abstractmethod
    def facts(self) -> Facts:
        """Whether it applies, whether it is dear, and whether `B` is regular, as far as that is known."""

    @abc.abstractmethod
    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        """`B^{-1} rhs` or `B^{-T} rhs` on flat vectors, and whether `B` is regular; arbitrary numbers where not."""


class DenseInverse(AbstractInverse):
    """The inverse of any matrix, by its LU factors; build it with `dense_inverse`."""

    factors: tuple[Float[Array, "d d"], Array]
    regular: Bool[Array, ""]

    def facts(self) -> Facts:
        return Facts(applies=True, regular=self.regular)

    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        return lu_solve(self.factors, rhs, trans=int(transposed)), self.regular


def dense_inverse(matrix: Float[Array, "d d"]) -> DenseInverse:
    """The inverse of `matrix`, and whether it has one to working precision."""
    factors, regular = lu(matrix)
    return DenseInverse(factors, regular)
