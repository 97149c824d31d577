"""The active features of a path, with the Cholesky factor of their block of the Gram matrix."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtrs  # pyright: ignore[reportAttributeAccessIssue]


class Dependent(Exception):
    """The active features are linearly dependent."""


class Support:
    """The features `active` with their `signs`, and a row for each: its column, or its row of a `gram` that is known.

    `G` is `gram + ridge I` with `gram = X^T X / n`. Features join at the end and leave from anywhere; the factor is
    brought up to date, never approximately.
    """

    def __init__(self, X: np.ndarray, ridge: float, gram: np.ndarray | None):
        self.X, self.ridge, self.gram = X, ridge, gram
        self.n = len(X)
        self.take([], [])

    def take(self, active: list[int], signs: list[float]) -> None:
        """Hold these features and no others."""
        self.active, self.signs = active, signs
        self._rows = self._rows_of(active)
        inner = self._rows @ self._rows.T / self.n if self.gram is None else self._rows[:, active]
        self._block = np.asfortranarray(inner + self.ridge * np.eye(len(active)))
        self._factor = self._factored(self._block) if active else np.empty((0, 0))

    @property
    def rows(self) -> np.ndarray:
        """The active columns of `X`, one a row `(k, n)`, or rows of `gram` `(k, p)` where it is known."""
        return self._rows[: len(self.active)]

    def solve(self, right: np.ndarray) -> np.ndarray:
        """`G_SS^{-1} right`."""
        count = len(self.active)
        return dpotrs(self._factor[:count, :count], right, lower=1)[0]

    def row(self, feature: int) -> tuple[np.ndarray, float]:
        """Row `feature` of `G`: its entries at the active features, and on the diagonal."""
        if self.gram is not None:
            row = self.gram[feature]
            return row[self.active], float(row[feature]) + self.ridge
        x = self.X[:, feature]
        return self.rows @ x / self.n, float(x @ x) / self.n + self.ridge

    def reduce(self, cross: np.ndarray, square: float) -> tuple[np.ndarray, float]:
        """The new row of the Cholesky factor if a feature joined, and its squared pivot: what no other spans."""
        count = len(self.active)
        reduced = dtrtrs(self._factor[:count, :count], cross, lower=1)[0] if count else np.empty(0)
        return reduced, square - float(reduced @ reduced)

    def leave(self, position: int) -> None:
        """Let the feature at `position` go.

        Raises:
            Dependent: what is left is linearly dependent, to rounding.
        """
        count, last = len(self.active), slice(position, len(self.active) - 1)
        del self.active[position], self.signs[position]
        self._rows[last] = self._rows[position + 1 : count]
        for square in (self._block, self._factor):
            square[last, :count] = square[position + 1 : count, :count]
        self._block[: count - 1, last] = self._block[: count - 1, position + 1 : count]
        if position < count - 1:  # rows below keep what stands to the left of the one that left
            kept = self._factor[last, :position]
            self._factor[last, last] = self._factored(self._block[last, last] - kept @ kept.T)

    def join(self, feature: int, sign: float, row: tuple[np.ndarray, float], reduced: np.ndarray, pivot: float) -> None:
        """Let `feature` in, with its `row` and what `reduce` made of it.

        Raises:
            Dependent: a combination of those that are in, to rounding.
        """
        if not pivot > 0:
            raise Dependent
        count = len(self.active)
        if count >= len(self._rows):
            room = max(16, 2 * count)
            self._rows = np.concatenate([self.rows, np.empty((room - count, self._rows.shape[1]))])
            self._block, self._factor = (_grown(square, count, room) for square in (self._block, self._factor))
        self._rows[count] = self.X[:, feature] if self.gram is None else self.gram[feature]
        self._block[count, :count] = self._block[:count, count] = row[0]
        self._block[count, count] = row[1]
        self._factor[count, :count] = reduced
        self._factor[count, count] = np.sqrt(pivot)
        self.active.append(feature)
        self.signs.append(sign)

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of it."""
        count = len(self.active)
        return {
            "active": np.array(self.active, np.int64),
            "signs": np.array(self.signs),
            "block": self._block[:count, :count],
            "factor": self._factor[:count, :count],
        }

    def restore(self, stored: dict[str, np.ndarray]) -> None:
        """Go back to what a checkpoint kept, bit for bit."""
        self.active, self.signs = stored["active"].tolist(), stored["signs"].tolist()
        self._rows = self._rows_of(self.active)
        self._block, self._factor = (np.asfortranarray(stored[name]) for name in ("block", "factor"))

    def _rows_of(self, active: list[int]) -> np.ndarray:
        return np.ascontiguousarray(self.X[:, active].T) if self.gram is None else self.gram[active]

    def _factored(self, block: np.ndarray) -> np.ndarray:
        factor, failed = dpotrf(block, lower=1)
        if failed:
            raise Dependent
        return factor


def _grown(square: np.ndarray, count: int, room: int) -> np.ndarray:
    larger = np.zeros((room, room), order="F")
    larger[:count, :count] = square[:count, :count]
    return larger
