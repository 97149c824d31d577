"""How the entries of a sparse matrix are laid out, decided on the host from their indices alone.

Every column is cut into strips of one height, the last of them padded, and the strips stand side by side in a table.
Sums over columns then take one addition of two long vectors for each row of the table, and one short scattered addition
that joins the strips of a column. The height is the power of two that costs least: a few percent of padding where
columns are long, and strips of one or two entries where most columns are nearly empty, as those of words.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .thresholds import THRESHOLDS


class EntryLayout(NamedTuple):
    """Where each entry goes. `place` maps the entries given to stored positions; repeated entries share one.

    `rows[k, s]` is the row of entry `k` of strip `s`, `n` in the padding, and position `k S + s` that of its number.
    Strip `s` belongs to column `owner[s]`; those of column `j` begin at `start[j]` and are `strips[j]` many.
    `largest[i]` are the strips of the `2^i` longest columns together, and of the next one.
    """

    place: np.ndarray
    rows: np.ndarray
    owner: np.ndarray
    start: np.ndarray
    strips: np.ndarray
    largest: tuple[tuple[int, int], ...]


def entry_layout(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> EntryLayout:
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
    height = min(THRESHOLDS.heights, key=lambda h: (h + THRESHOLDS.join) * int((-(-count // h)).sum()))
    strips = -(-count // height)
    strips[0] += not len(keys)  # no array is empty
    ends = np.cumsum(strips)
    start, total = ends - strips, int(ends[-1])
    if height * total >= 2**31 - 1:
        raise ValueError(f"X has {len(keys)} stored entries, more than 32-bit positions address; solve it in parts.")
    number = np.arange(len(keys)) - (np.cumsum(count) - count)[column]
    stored = number % height * total + start[column] + number // height
    rows = np.full(height * total, n, np.int32)
    rows[stored] = row
    place = np.full(len(inside), height * total, np.int64)
    place[inside] = stored[which.ravel()]
    owner = np.repeat(np.arange(p), strips)
    place, owner, start, narrow = (a.astype(np.int32) for a in (place, owner, start, strips))
    return EntryLayout(place, rows.reshape(height, total), owner, start, narrow, _largest(strips))


def _largest(strips: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Of the `2^i` longest columns the strips together, and the strips of the next one, for all `2^i <= p`."""
    descending = np.sort(strips)[::-1]
    sums, following = np.cumsum(descending), np.append(descending, 0)
    return tuple((int(sums[2**i - 1]), int(following[2**i])) for i in range(len(strips).bit_length()))


def most_strips(largest: tuple[tuple[int, int], ...], columns: int) -> int:
    """A bound for the strips of so many different columns: exact for powers of two, a little more in between."""
    i = min(max(columns, 1).bit_length(), len(largest)) - 1
    total, following = largest[i]
    return max(total + (columns - 2**i) * following, 1)
