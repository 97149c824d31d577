"""The linear system of a cone program on its face, with every row kept and factorised sparsely."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from ..linear.sparse_factors import sparse_factors
from .faces import EPS, Face, selector
from .system import ConeSystem
from .thresholds import THRESHOLDS

SOFTENED = 1e-10  # what is added to the diagonal, scaled to entries of at most one, where it is exactly singular


class SparseSystem(ConeSystem):
    """`P dx + A^T T^T y = r`, `T A dx - h y = T t`: hard rows of `T` with `h = 0`, soft ones with `h = d / (1 - d)`.

    `dy = T^T y`. The soft part of a second-order cone is all its rows, with `y` orthogonal to the ray and the normal.
    Solved by SuperLU; where it is not regular, `solve` gives about the answer of least norm, or NaN where no factors
    can be had.
    """

    def __init__(self, P: Any, A: Any, face: Face):
        self.A, self.AT = A, A.T
        m, n = A.shape
        parts: list[Any] = [selector(face)]
        count = parts[0].shape[0]
        # A soft row keeps its multiplier as an unknown, with its compliance `h` on the diagonal: a stiff spring is a
        # small number there and not a large one in `H`, nothing fills in, and hard rows are the case zero.
        give = [np.zeros(face.hard_count), 1 / face.weight]
        bound = []
        for block in face.rounds:
            if block.weight:  # `k` rows and two conditions on `y`: a basis of what is soft would be `k^2` numbers
                size = block.stop - block.start
                parts.append(_placed(scipy.sparse.eye_array(size), block.start, m))
                bound.append((count, block))
                give.append(np.full(size, 1 / block.weight))
                count += size
        for block in face.turned:
            for part, h in ((block.hard, np.zeros(len(block.hard))), (block.soft, 1 / block.weight)):
                parts.append(_placed(scipy.sparse.coo_array(part), block.start, m))
                give.append(h)
                count += len(h)
        self.T: Any = scipy.sparse.vstack(parts, format="csr") if len(parts) > 1 else parts[0]
        TA: Any = (self.T @ A).tocoo()
        entries = [(n + TA.coords[0], TA.coords[1], TA.data), (TA.coords[1], n + TA.coords[0], TA.data)]
        h = np.concatenate(give)
        entries.append((n + np.arange(count), n + np.arange(count), -h))
        total = n + count
        for start, block in bound:
            place = n + start + np.arange(block.stop - block.start)
            for line in (block.ray, block.normal):
                here = np.full(len(place), total)
                entries += [(place, here, line), (here, place, line)]
                total += 1
        if P is not None:
            given = P.tocoo()
            entries.append((*given.coords, given.data))
        row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
        self.total, self.count = total, count
        top = np.zeros(total)
        np.maximum.at(top, row, np.abs(value))
        self.scale = 1 / np.sqrt(np.where(top > 0, top, 1))
        K = scipy.sparse.csc_array((value * self.scale[row] * self.scale[column], (row, column)), shape=(total, total))
        # minimum degree is the better order for very sparse matrices, and takes for ever on others
        sparse = K.nnz <= THRESHOLDS.minimum_degree * total
        order = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.1} if sparse else {}
        self.lu = sparse_factors(K, **order)
        if self.lu is None:  # exactly singular, as with dependent rows: these then share their multiplier
            soft = np.where(np.arange(total) < n, SOFTENED, -SOFTENED)
            self.lu = sparse_factors(K + scipy.sparse.diags_array(soft, format="csc"))
            self.healthy = False
        else:  # inverse iteration, as in `linear.solves.reciprocal_condition`
            v = np.cos(1.0 + np.arange(total))
            for _ in range(3):
                v = self.lu.solve(v / np.linalg.norm(v))
            self.healthy = bool(10 * total * EPS * np.linalg.norm(v) < 1)  # false for NaN
        self.bytes = 12 * int((0 if self.lu is None else self.lu.nnz) + self.A.nnz + self.T.nnz)

    def consistent(self, dx: np.ndarray, t: np.ndarray) -> bool:
        """See `ConeSystem.consistent`: where the system is regular, every right side has a solution."""
        return self.healthy

    def unique(self) -> bool:
        """See `ConeSystem.unique`: this system does not look."""
        return True

    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `ConeSystem.solve`."""
        n = len(r)
        rhs = np.concatenate([r, self.T @ t, np.zeros(self.total - n - self.count)])
        found = np.full(self.total, np.nan) if self.lu is None else self.lu.solve(rhs * self.scale) * self.scale
        return found[:n], self.T.T @ found[n : n + self.count]


def _placed(part: Any, start: int, width: int) -> scipy.sparse.coo_array:
    """A matrix in columns from `start` on, `width` in all."""
    part = part.tocoo()
    return scipy.sparse.coo_array((part.data, (part.coords[0], start + part.coords[1])), shape=(part.shape[0], width))
