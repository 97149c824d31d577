"""The projection on a semidefinite cone on the host, and the face of its Jacobian, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

SPECTRAL_ROUNDING = 1e-13  # an eigenvalue of a Jacobian this close to 0 or 1 is 0 or 1
RANK = 1e-11  # an eigenvalue of a matrix this small beside the largest is zero: a rank is not known better


@dataclass(frozen=True)
class Turned:
    """A semidefinite cone: `D` scales the entries of a matrix in the basis `vectors` by `slopes`, `(order, order)`.

    The rows of `hard` and `soft` are its orthonormal eigenvectors in vector form, `O(order^4)` numbers made when asked.
    """

    start: int
    stop: int
    vectors: np.ndarray
    slopes: np.ndarray

    @cached_property
    def _kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        slope = self.slopes[upper(len(self.slopes))]
        hard = slope <= SPECTRAL_ROUNDING
        return slope, hard, ~hard & (slope < 1 - SPECTRAL_ROUNDING)

    def scaled(self, scales: np.ndarray, v: np.ndarray) -> np.ndarray:
        """`v`, in vector form, with its entries in the basis of `vectors` times `scales`."""
        inside = scales * (self.vectors.T @ symmetric(v, len(scales)) @ self.vectors)
        return vector(self.vectors @ inside @ self.vectors.T)

    @property
    def rows(self) -> tuple[int, int]:
        """How many hard and soft rows there are."""
        _, hard, soft = self._kinds
        return int(hard.sum()), int(soft.sum())

    @cached_property
    def hard(self) -> np.ndarray:
        """`(hard rows, stop - start)`."""
        return self._products(self._kinds[1])

    @cached_property
    def soft(self) -> np.ndarray:
        """`(soft rows, stop - start)`."""
        return self._products(self._kinds[2])

    @cached_property
    def weight(self) -> np.ndarray:
        """The stiffness of the soft rows."""
        slope, _, soft = self._kinds
        return (1 - slope[soft]) / slope[soft]

    def _products(self, kept: np.ndarray) -> np.ndarray:
        """The symmetric products of pairs of eigenvectors as unit vectors, one a line."""
        # `u_i u_j^T + u_j u_i^T` is an eigenvector of `D`, with the slope `(i, j)`. The roots of two make it a unit
        # vector, and the vector form of a matrix keep lengths.
        i, j = upper(len(self.vectors))
        row, column = i[kept], j[kept]
        left, right = self.vectors.T[row], self.vectors.T[column]
        entries = left[:, i] * right[:, j] + left[:, j] * right[:, i]
        scale = np.where(i == j, 0.5, np.sqrt(0.5))
        return entries * scale * np.where(row == column, 1.0, np.sqrt(2.0))[:, None]


def turned(start: int, stop: int, order: int, v: np.ndarray) -> tuple[np.ndarray, Turned]:
    """The projection of rows `start` to `stop`, a matrix in vector form, and its Jacobian."""
    values, vectors = np.linalg.eigh(symmetric(v, order))
    values = np.where(np.abs(values) <= RANK * np.abs(values).max(), 0, values)
    kept = np.maximum(values, 0)
    slack = vector((vectors * kept) @ vectors.T)
    # divided differences of `max(., 0)`: 1 within the positive eigenvalues, 0 within the others, and between them the
    # part that is kept; of two equal ones the derivative, which at zero is that of the smallest face
    gap = values[:, None] - values
    slopes = np.where(gap == 0, values > 0, (kept[:, None] - kept) / np.where(gap == 0, 1, gap)).clip(0, 1)
    return slack, Turned(start, stop, vectors, slopes)


@lru_cache(maxsize=64)
def upper(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the upper triangle, column by column: the order of `PSD`."""
    column, row = np.tril_indices(order)
    return row, column


def symmetric(v: np.ndarray, order: int) -> np.ndarray:
    """The matrix of a vector in the form of `PSD`."""
    row, column = upper(order)
    S = np.zeros((order, order))
    S[row, column] = S[column, row] = v * np.where(row == column, 1.0, np.sqrt(0.5))
    return S


def vector(S: np.ndarray) -> np.ndarray:
    """The vector of a symmetric matrix."""
    row, column = upper(len(S))
    return S[row, column] * np.where(row == column, 1.0, np.sqrt(2.0))
