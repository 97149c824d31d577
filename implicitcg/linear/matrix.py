"""The contract of a matrix: what a problem asks of its data."""

from __future__ import annotations

import abc
from typing import Any, Self

import equinox as eqx
import numpy as np
import scipy.sparse
from jax import Array
from jaxtyping import Float


class AbstractMatrix(eqx.Module):
    """A matrix `(m, n)` that multiplies vectors from both sides, and can be handed to a library on the host.

    Its entries are parameters of the problem that holds it, and derivatives reach them; a pattern is not.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """`(m, n)`."""

    @property
    @abc.abstractmethod
    def entries(self) -> Array:
        """The stored numbers, to be checked for NaN and infinity."""

    @property
    def dtype(self) -> Any:
        """The floating dtype of the entries."""
        return self.entries.dtype

    @abc.abstractmethod
    def product(self, x: Float[Array, " n"], /) -> Float[Array, " m"]:
        """`A x`."""

    @abc.abstractmethod
    def adjoint_product(self, y: Float[Array, " m"], /) -> Float[Array, " n"]:
        """`A^T y`."""

    @abc.abstractmethod
    def astype(self, dtype: Any) -> Self:
        """The same matrix in another floating dtype."""

    @abc.abstractmethod
    def on_host(self) -> np.ndarray | scipy.sparse.csc_array:
        """Concrete entries as a NumPy array or in SciPy's compressed columns, for solvers outside JAX."""

    def compressed(self) -> scipy.sparse.csc_array:
        """As `on_host`, always in compressed columns and in float64, for factorisations."""
        made = type(self).on_host(self)  # to bind a method of an equinox module takes 16 microseconds
        if isinstance(made, np.ndarray) or made.dtype != np.float64:
            return scipy.sparse.csc_array(made, dtype=np.float64)
        return made
