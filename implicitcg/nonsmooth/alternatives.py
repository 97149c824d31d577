"""The vertices of one choice: which weights could stand where a program chose by itself."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .choice import CHOOSABLE
from .sites import Site, SiteRecord


class Slot(NamedTuple):
    """One kink: the entries of the flattened weights that it owns, and the rows that may stand there."""

    entries: np.ndarray
    options: list[np.ndarray] | _Orders

    @property
    def choices(self) -> int:
        return len(self.options)


class _Orders:
    """The orders of a run of `m` tied entries of which the first `j` matter: `m! / (m - j)!`, never listed."""

    def __init__(self, run: np.ndarray, used: int):
        self.run, self.used = run, used

    def __len__(self) -> int:
        return math.perm(len(self.run), self.used)

    def __iter__(self) -> Iterator[np.ndarray]:
        for head in itertools.permutations(range(len(self.run)), self.used):
            yield self._with(head)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        return self._with(tuple(random.permutation(len(self.run))[: self.used]))

    def _with(self, head: tuple[int, ...]) -> np.ndarray:
        tail = [i for i in range(len(self.run)) if i not in head]
        return self.run[[*head, *tail]]


@dataclasses.dataclass(frozen=True)
class Alternatives:
    """All weights of one site: `count` of them, `kinks` of its entries being ambiguous."""

    index: int
    site: Site
    default: np.ndarray
    slots: list[Slot]
    exhaustive: bool

    @property
    def kinks(self) -> int:
        return len(self.slots)

    @property
    def count(self) -> int:
        return math.prod(slot.choices for slot in self.slots)

    def all(self) -> Iterator[np.ndarray]:
        for rows in itertools.product(*[slot.options for slot in self.slots]):
            yield self.filled(rows)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        return self.filled([_draw(slot.options, random) for slot in self.slots])

    def filled(self, rows: Any) -> np.ndarray:
        weights = self.default.copy().reshape(-1)
        for slot, row in zip(self.slots, rows, strict=False):
            weights[slot.entries] = row
        return weights.reshape(self.default.shape)


def alternatives(index: int, site: Site, record: SiteRecord, tol: float) -> Alternatives | None:
    """The vertices of a site, or `None` where nothing is ambiguous."""
    if site.kind not in CHOOSABLE:
        return None
    default, distance = np.asarray(record.default), np.asarray(record.distance)
    if site.kind == "interval":
        slots = [Slot(np.asarray([i]), [np.zeros(1), np.ones(1)]) for i in np.flatnonzero(distance <= tol)]
        return _some(index, site, default, slots, True)
    size = default.shape[-1]
    rows = distance.reshape(-1, size)
    starts = np.arange(len(rows)) * size
    if site.kind == "order":
        slots = [
            slot
            for row, order, s in zip(rows, default.reshape(-1, size), starts, strict=False)
            for slot in _runs(site, row, order, s, tol)
        ]
        return _some(index, site, default, slots, True)
    if site.kind == "ball":
        poles = [sign * row for row in np.eye(size) for sign in (1.0, -1.0)]
        slots = [Slot(s + np.arange(size), poles) for row, s in zip(rows, starts, strict=False) if row[0] <= tol]
        return _some(index, site, default, slots, size == 1)
    slots = []
    for row, start in zip(rows, starts, strict=False):
        near = np.flatnonzero(row <= tol)
        if len(near) > 1:
            slots.append(Slot(start + np.arange(size), [np.eye(size)[i] for i in near]))
    return _some(index, site, default, slots, True)


def _runs(site: Site, gap: np.ndarray, order: np.ndarray, start: int, tol: float) -> list[Slot]:
    size = len(order)
    keep = site.keep or size
    breaks = np.flatnonzero(~(gap[:-1] <= tol)) + 1
    slots = []
    for run in np.split(np.arange(size), breaks):
        used = min(len(run), max(keep - int(run[0]), 0))
        if len(run) > 1 and used > 0:
            slots.append(Slot(start + run, _Orders(order[run], used)))
    return slots


def _some(index, site, default, slots, exhaustive) -> Alternatives | None:
    if not slots:
        return None
    # A site in a while_loop has one override for all its steps, so other combinations may exist.
    return Alternatives(index, site, default, slots, exhaustive and not site.repeated)


def _draw(options: list[np.ndarray] | _Orders, random: np.random.Generator) -> np.ndarray:
    return options.draw(random) if isinstance(options, _Orders) else options[random.integers(len(options))]
