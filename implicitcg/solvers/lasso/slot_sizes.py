"""How many features have a slot at a time: the static sizes that a homotopy is compiled for."""

from __future__ import annotations

from typing import NamedTuple

from ...equations.sizes import room_for
from .quadratic_loss import QuadraticLoss
from .thresholds import THRESHOLDS


class Sizes(NamedTuple):
    """Static sizes: `limit` features at a time, `chunk` added at once, `room` active ones, `rows` of the tableau.

    More than `crowd` active ones call for the next size. The size before this one had room for `before` of them (0:
    this is the first), for which work is cheaper.
    Where `limit` is the number of features, and where `X` is no array, columns are not copied: products are with `X`.
    """

    limit: int
    chunk: int
    room: int
    crowd: int
    rows: int
    features: int
    before: int

    @property
    def whole(self) -> bool:
        """Whether every feature has a slot."""
        return self.limit == self.features

    @property
    def buffer(self) -> int:
        """The length of the buffers: a chunk is written at once behind the slots in use."""
        return self.limit + self.chunk


def slot_sizes(loss: QuadraticLoss, capacity: int | None = None, *, quick: bool = False) -> tuple[Sizes, ...]:
    """The static sizes of slots: the capacity where that is small, else eighths of it before.

    Where it is `quick` to go on without slots, there are few of them: with large sparse designs, whose products are
    cheaper than knots among thousands of features.
    """
    p, rank, dtype = loss.threshold.shape[0], most_independent(loss), loss.threshold.dtype
    sparse = not loss.smooth.X.dense
    largest = min(p, max(min(2 * rank, rank + 256), 128))
    largest = min(largest, THRESHOLDS.most_slots) if capacity is None else room_for(capacity, largest, dtype)
    if quick and sparse and capacity is None and largest < rank:
        largest = THRESHOLDS.most_slots_sparse
    limits = [largest]
    while limits[0] > THRESHOLDS.one_size:
        limits.insert(0, limits[0] // 8)
    rooms = [limit // 2 for limit in limits[:-1]] + [min(largest, rank)]
    crowds = [2 * limit // 5 for limit in limits[:-1]] + [4 * largest // 5 if largest < rank else rank]
    every = zip(limits, rooms, crowds, [0, *rooms], strict=False)
    # a slot that is not needed after all costs more where columns are sparse, and the pass over `X` less
    most = THRESHOLDS.chunk_sparse if sparse else THRESHOLDS.chunk
    return tuple(_sizes(limit, room, crowd, p, before, most) for limit, room, crowd, before in every)


def _sizes(limit: int, room: int, crowd: int, p: int, before: int, most: int) -> Sizes:
    rows = room + max(room // 2, 32)
    rows += -rows % THRESHOLDS.block if rows > THRESHOLDS.few_rows else 0
    return Sizes(limit, min(limit, max(limit // 4, 16), most), room, crowd, rows, p, before)


def most_independent(loss: QuadraticLoss) -> int:
    """A bound for the features in a support without dependent columns."""
    p, n = loss.threshold.shape[0], loss.smooth.X.shape[0]
    return p if loss.ridge is not None else min(n, p)
