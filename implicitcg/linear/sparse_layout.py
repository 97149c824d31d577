"""How the entries of a sparse matrix are laid out, decided on the host from their indices alone.

Columns are stored in descending order of their number of entries and cut into a few slices; inside a slice every column
is padded to one width. A slice is then a dense table, and sums over columns are sums over its rows: no scatter. The
cuts are those that pad least: a few percent where columns are alike, and two thirds where their counts fall off as in a
text (`1 / rank`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SLICES = 8  # each is one small kernel in every product
WIDTHS = 256  # distinct widths considered when cutting
ENOUGH = 1.03  # fewer slices are taken where they pad no more than this, relative to the best


class Layout(NamedTuple):
    """Where each entry goes. `place` maps the entries given to stored positions; repeated entries share one.

    `slices` are `(columns, width)` from the widest to the narrowest; `order[k]` is the column stored `k`-th, `slot` its
    inverse; column `j` starts at `start[j]` and has `filled[j]` entries; `rows` holds their rows, `n` in the padding.
    """

    place: np.ndarray
    rows: np.ndarray
    slices: tuple[tuple[int, int], ...]
    order: np.ndarray
    slot: np.ndarray
    start: np.ndarray
    filled: np.ndarray

    @property
    def size(self) -> int:
        """Stored positions, with padding."""
        return len(self.rows)


def layout(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> Layout:
    """The layout of entries at `(row, column)`, in any order, possibly repeated; those outside `shape` are dropped.

    Raises:
        ValueError: more entries than 32-bit positions can address.
    """
    n, p = shape
    inside = (row >= 0) & (row < n) & (column >= 0) & (column < p)
    row, column = row[inside].astype(np.int64), column[inside].astype(np.int64)
    keys, which = np.unique(column * n + row, return_inverse=True)
    column, row = np.divmod(keys, n)
    count = np.bincount(column, minlength=p)
    order = np.argsort(-count, kind="stable")
    slices = _cut(count[order])
    width = np.repeat([w for _, w in slices], [m for m, _ in slices])
    start = np.empty(p, np.int64)
    start[order] = np.cumsum(width) - width
    size = int(width.sum())
    if size >= 2**31 - 1:
        raise ValueError(f"X has {len(keys)} stored entries, more than 32-bit positions address; solve it in parts.")
    first = np.cumsum(count) - count
    stored = start[column] + np.arange(len(keys)) - first[column]
    rows = np.full(size, n, np.int32)
    rows[stored] = row
    place = np.full(len(inside), size, np.int64)
    place[inside] = stored[which.ravel()]
    slot = np.empty(p, np.int32)
    slot[order] = np.arange(p, dtype=np.int32)
    return Layout(
        place.astype(np.int32),
        rows,
        slices,
        order.astype(np.int32),
        slot,
        start.astype(np.int32),
        count.astype(np.int32),
    )


def _cut(descending: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The cuts that pad least, by dynamic programming over the distinct widths."""
    counts = descending[::-1]
    if len(np.unique(counts)) > WIDTHS:  # widths between powers of two, sixteen to the octave
        exponent = np.maximum(np.floor(np.log2(np.maximum(counts, 1))) - 4, 0)
        unit = np.exp2(exponent).astype(np.int64)
        counts = -(-counts // unit) * unit
    widths, many = np.unique(counts, return_counts=True)
    total = np.concatenate([[0], np.cumsum(many)])
    k = len(widths)
    # cost[a, b]: positions of one slice that holds the widths a, ..., b
    cost = np.where(np.arange(k)[:, None] <= np.arange(k), widths * (total[1:][None, :] - total[:-1][:, None]), np.inf)
    best = [cost[0]]
    back: list[np.ndarray] = []
    for _ in range(min(SLICES, k) - 1):
        joined = np.concatenate([[np.inf], best[-1][:-1]])[:, None] + cost
        back.append(np.argmin(joined, axis=0))
        best.append(np.min(joined, axis=0))
    ends = np.array([row[-1] for row in best])
    parts = int(np.argmax(ends <= ENOUGH * ends.min()))
    cuts, end = [], k - 1
    for chosen in reversed(back[:parts]):
        cuts.append(end)
        end = int(chosen[end]) - 1
    cuts.append(end)  # from the widest to the narrowest
    lower = [*cuts[1:], -1]
    return tuple((int(total[b + 1] - total[a + 1]), int(widths[b])) for b, a in zip(cuts, lower, strict=True))
