"""The active features of a path, with the Cholesky factor of their block of the Gram matrix."""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import dtpsv  # pyright: ignore[reportAttributeAccessIssue]
from scipy.linalg.lapack import dpotrf, dpptrs  # pyright: ignore[reportAttributeAccessIssue]


class Dependent(Exception):
    """The active features are linearly dependent."""


class Support:
    """The features `active` with their `signs`, and a row for each: its column, or its row of a `gram` that is known.

    `G` is `gram + ridge I` with `gram = X^T X / n`. Features join at the end and leave from anywhere; the factor is
    brought up to date, never approximately. Its rows also stand one after the other without the zeros between, which is
    how LAPACK takes a triangle that grows without copying it.
    """

    def __init__(self, X: np.ndarray, ridge: float, gram: np.ndarray | None):
        self.X, self.ridge, self.gram = X, ridge, gram
        self.n = len(X)
        self.take(np.empty(0, np.intp), np.empty(0))

    def take(self, active: np.ndarray, signs: np.ndarray) -> None:
        """Hold these features and no others."""
        self._hold(active, signs)
        inner = self._rows @ self._rows.T / self.n if self.gram is None else self._rows[:, active]
        self._block = inner + self.ridge * np.eye(self.count)
        self._factor = self._factored(self._block) if self.count else np.empty((0, 0))
        self._packed = np.empty(_triangle(self.count))
        self._pack(0)

    @property
    def active(self) -> np.ndarray:
        """The features, in the order in which they joined."""
        return self._active[: self.count]

    @property
    def signs(self) -> np.ndarray:
        """Their signs, 0 where there is no penalty."""
        return self._signs[: self.count]

    @property
    def rows(self) -> np.ndarray:
        """The active columns of `X`, one a row `(k, n)`, or rows of `gram` `(k, p)` where it is known."""
        return self._rows[: self.count]

    def solve(self, right: np.ndarray) -> np.ndarray:
        """`G_SS^{-1} right`."""
        return dpptrs(self.count, self._packed[: _triangle(self.count)], right)[0]

    def row(self, feature: int) -> tuple[np.ndarray, float]:
        """Row `feature` of `G`: its entries at the active features, and on the diagonal."""
        if self.gram is not None:
            row = self.gram[feature]
            return row[self.active], float(row[feature]) + self.ridge
        x = self.X[:, feature]
        return self.rows @ x / self.n, float(x @ x) / self.n + self.ridge

    def reduce(self, cross: np.ndarray, square: float) -> tuple[np.ndarray, float]:
        """The new row of the Cholesky factor if a feature joined, and its squared pivot: what no other spans."""
        # the triangular solve with the packed factor is the whole cost of a look; the squared pivot is (1 - R^2) of the
        # feature's square, by which the path tells whether it is a combination of those that are in
        packed = self._packed[: _triangle(self.count)]
        reduced = dtpsv(self.count, packed, cross, trans=1) if self.count else np.empty(0)
        return reduced, square - float(reduced @ reduced)

    def leave(self, position: int) -> None:
        """Let the feature at `position` go.

        Raises:
            Dependent: what is left is linearly dependent, to rounding.
        """
        count = self.count
        # Rows of a Cholesky factor depend on those above only, so all above the one that leaves stay. Of those below,
        # what stands to its left stays as well: only the corner behind is factored anew, from its own block with the
        # kept part taken off. Features leave late as a rule (the last to join), and then it is small.
        last, behind = slice(position, count - 1), slice(position + 1, count)
        for held in (self._active, self._signs, self._rows):
            held[last] = held[behind]
        for square in (self._block, self._factor):
            square[last, :count] = square[behind, :count]
        self._block[: count - 1, last] = self._block[: count - 1, behind]
        self.count = count - 1
        if position < count - 1:
            kept = self._factor[last, :position]
            self._factor[last, last] = self._factored(self._block[last, last] - kept @ kept.T)
            self._pack(position)

    def join(self, feature: int, sign: float, row: tuple[np.ndarray, float], reduced: np.ndarray, pivot: float) -> None:
        """Let `feature` in, with its `row` and what `reduce` made of it.

        Raises:
            Dependent: a combination of those that are in, to rounding.
        """
        if not pivot > 0:
            raise Dependent
        count = self.count
        # arrays grow by doubling, so that a path of k joins copies O(k) rows in all
        if count >= len(self._rows):
            self._grow(max(32, 2 * count))
        self._active[count], self._signs[count] = feature, sign
        self._rows[count] = self.X[:, feature] if self.gram is None else self.gram[feature]
        self._block[count, :count] = self._block[:count, count] = row[0]
        self._block[count, count] = row[1]
        self._factor[count, :count] = reduced
        self._factor[count, count] = np.sqrt(pivot)
        self.count += 1
        self._packed[_triangle(count) : _triangle(self.count)] = self._factor[count, : self.count]

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of it."""
        inside = slice(self.count)
        return {
            "active": self.active.copy(),
            "signs": self.signs.copy(),
            "block": self._block[inside, inside],
            "factor": self._factor[inside, inside],
        }

    def restore(self, stored: dict[str, np.ndarray]) -> None:
        """Go back to what a checkpoint kept, bit for bit."""
        self._hold(stored["active"].astype(np.intp), stored["signs"])
        self._block, self._factor = (np.array(stored[name]) for name in ("block", "factor"))
        self._packed = np.empty(_triangle(self.count))
        self._pack(0)

    def _hold(self, active: np.ndarray, signs: np.ndarray) -> None:
        self.count = len(active)
        self._active, self._signs = active.copy(), signs.copy()
        self._rows = np.ascontiguousarray(self.X[:, active].T) if self.gram is None else self.gram[active]

    def _pack(self, first: int) -> None:
        """Bring the rows of the factor from `first` on up to date where they stand one after the other."""
        places = np.arange(self.count)
        below = places[None, :] <= places[first:, None]
        self._packed[_triangle(first) : _triangle(self.count)] = self._factor[first : self.count, : self.count][below]

    def _grow(self, room: int) -> None:
        count, p = self.count, self._rows.shape[1]
        self._active, self._signs = _enlarged(self.active, room), _enlarged(self.signs, room)
        self._rows = _enlarged(self.rows, room, p)
        self._packed = _enlarged(self._packed[: _triangle(count)], _triangle(room))
        self._block = _enlarged(self._block[:count, :count], room, room)
        self._factor = _enlarged(self._factor[:count, :count], room, room)

    def _factored(self, block: np.ndarray) -> np.ndarray:
        factor, failed = dpotrf(block, lower=1)
        if failed:
            raise Dependent
        return factor


def _triangle(count: int) -> int:
    """How many entries a triangle of `count` rows has."""
    return count * (count + 1) // 2


def _enlarged(held: np.ndarray, *shape: int) -> np.ndarray:
    """A larger array that begins with what is `held`."""
    larger = np.zeros(shape, held.dtype)
    larger[tuple(slice(size) for size in held.shape)] = held
    return larger
