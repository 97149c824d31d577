"""The projection on a product of cones on the host, and the face of its Jacobian, in NumPy.

The Jacobian of a projection is symmetric with eigenvalues `d` in `[0, 1]`. Its eigenvectors sort the rows of a cone
program at a solution: where `d = 1` the slack is free and its multiplier does not move; where `d = 0` the slack does
not move (a *hard* row, an equality); in between the row is *soft*, a spring of stiffness `(1 - d) / d`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from .program import Layout
from .semidefinite import SPECTRAL_ROUNDING, Turned, symmetric, turned, vector
from .surfaces import exponential_surface, power_surface

EPS = float(np.finfo(np.float64).eps)
ON_KINK = 1e-11  # how close, relative to the largest entry of `v`, is on the kink


@dataclass(frozen=True)
class Round:
    """A second-order cone on whose surface the slack lies: `d` is 1 on `ray`, 0 on `normal`, and `bend` elsewhere."""

    start: int
    stop: int
    ray: np.ndarray
    normal: np.ndarray
    weight: float


@dataclass(frozen=True)
class Face:
    """The projection `slack` of `v`, and its Jacobian as hard and soft rows.

    Row `i` enters the hard row `hard[i]` with the factor `hard_factor[i]`, and the soft row `soft[i]` likewise; `-1` is
    none. `rounds` and `turned` come on top, and their hard rows are counted too. `zero` are the equalities.
    """

    slack: np.ndarray
    zero: np.ndarray
    hard: np.ndarray
    hard_factor: np.ndarray
    hard_count: int
    soft: np.ndarray
    soft_factor: np.ndarray
    weight: np.ndarray
    rounds: list[Round]
    turned: list[Turned]


def face(where: Layout, exponents: np.ndarray, v: np.ndarray, hint: np.ndarray | None = None) -> Face:
    """The projection of `v` and its Jacobian, by the tie rules of the projections: the smallest face.

    `hint`, about the projection, saves a search on curved surfaces.
    """
    m = where.size
    slack = np.maximum(v, 0)
    slack[where.zero] = 0
    # A row of most cones is in one hard and one soft row at the most, so two numbers a row say all; second-order and
    # semidefinite cones, whose soft rows are full, come as blocks. Hard rows that are rows by themselves are numbered
    # first, then the normals of curved surfaces, each of which is shared by the rows of its cone.
    hard, soft = np.full(m, -1), np.full(m, -1)
    hard_factor, soft_factor = np.ones(m), np.ones(m)
    single = np.zeros(m, bool)  # rows that are hard by themselves
    single[where.zero] = True
    single[where.orthant] = v[where.orthant] <= 0
    rounds, matrices, shared, weights = [], [], [], []
    for start, stop in where.rounds:
        block = v[start:stop]
        t, r = float(block[0]), float(np.sqrt(block[1:] @ block[1:]))
        if r <= t and not _touching(t - r, r + abs(t)):
            slack[start:stop] = block
        elif r <= -t or _touching(t + r, r + abs(t)):
            slack[start:stop] = 0
            single[start:stop] = True
        else:
            # the slack slides along its ray (d = 1), never along the normal (d = 0), and bends across them
            unit = block[1:] / r
            slack[start], slack[start + 1 : stop] = (t + r) / 2, (t + r) / 2 * unit
            ray, normal = np.append(1, unit) / np.sqrt(2), np.append(1, -unit) / np.sqrt(2)
            bend = (1 + min(t / r, 1)) / 2
            shared.append((np.arange(start, stop), normal))
            weight = (1 - bend) / bend if 1 - bend > SPECTRAL_ROUNDING else 0.0
            rounds.append(Round(start, stop, ray, normal, weight))
    for surfaces, rows in _surfaces(where, exponents, v, hint):
        slack[rows] = surfaces.point
        single[rows] = ~surfaces.moves & ~surfaces.curved[:, None]
        shared += [(rows[surfaces.curved], surfaces.normal[surfaces.curved])] if surfaces.curved.any() else []
        weights.append((rows[surfaces.curved], surfaces.across[surfaces.curved], surfaces.bend[surfaces.curved]))
    for start, stop, order in where.matrices:
        slack[start:stop], block = turned(start, stop, order, v[start:stop])
        matrices.append(block)
    count = int(single.sum())
    hard[single] = np.arange(count)
    for rows, normal in shared:
        rows, normal = np.atleast_2d(rows), np.atleast_2d(normal)
        hard[rows], hard_factor[rows] = count + np.arange(len(rows))[:, None], normal
        count += len(rows)
    springs, softs = [], 0
    for rows, across, bend in weights:  # where the surface is flat to rounding, the row is free: no spring at all
        keep = 1 - bend > SPECTRAL_ROUNDING
        rows, across, bend = rows[keep], across[keep], np.maximum(bend[keep], SPECTRAL_ROUNDING)
        soft[rows], soft_factor[rows] = softs + np.arange(len(rows))[:, None], across
        springs.append((1 - bend) / bend)
        softs += len(rows)
    weight = np.concatenate(springs) if springs else np.zeros(0)
    return Face(slack, where.zero, hard, hard_factor, count, soft, soft_factor, weight, rounds, matrices)


def selector(face: Face) -> scipy.sparse.csr_array:
    """The hard and then the soft rows as combinations of rows, without those of `turned` and the soft ones of `rounds`.

    A matrix `(hard_count + soft count, m)`.
    """
    hard, soft = np.flatnonzero(face.hard >= 0), np.flatnonzero(face.soft >= 0)
    place = np.concatenate([face.hard[hard], face.hard_count + face.soft[soft]])
    values = np.concatenate([face.hard_factor[hard], face.soft_factor[soft]])
    shape = (face.hard_count + len(face.weight), len(face.hard))
    return scipy.sparse.csr_array((values, (place, np.concatenate([hard, soft]))), shape=shape)


def of_jacobian(face: Face, rows: Any, function: Callable[[Any], Any], v: np.ndarray) -> np.ndarray:
    """`f(D) v` for the Jacobian `D` of the projection and a function of its eigenvalues; `rows` is `selector(face)`."""
    free = function(1.0)
    d = np.concatenate([np.zeros(face.hard_count), 1 / (1 + face.weight)])
    found = free * v + rows.T @ ((function(d) - free) * (rows @ v))
    for block in face.rounds:
        if block.weight:
            part = v[block.start : block.stop]
            part = part - block.ray * (block.ray @ part) - block.normal * (block.normal @ part)
            found[block.start : block.stop] += (function(1 / (1 + block.weight)) - free) * part
    for block in face.turned:
        found[block.start : block.stop] = block.scaled(function(block.slopes), v[block.start : block.stop])
    return found


def snapped_blocks(where: Layout, v: np.ndarray) -> np.ndarray:
    """`v` with what is on a kink up to rounding put on it, on the side of the smallest face."""
    # A solver stops on one side of a kink or the other, as its last rounding falls; the derivative there is that of the
    # tie rule, which asks whether `v` is on the kink exactly.
    v = v.copy()
    near = ON_KINK * (1 + np.abs(v).max(initial=0))
    rows = where.orthant
    v[rows[np.abs(v[rows]) <= near]] = 0
    for start, stop in where.rounds:
        r = float(np.linalg.norm(v[start + 1 : stop]))
        if abs(v[start] - r) <= near or abs(v[start] + r) <= near:
            v[start] = r if abs(v[start] - r) <= near else -r
    for start, stop, order in where.matrices:
        values, vectors = np.linalg.eigh(symmetric(v[start:stop], order))
        on_kink = np.abs(values) <= near
        if on_kink.any():  # a zero eigenvalue computed anew has any sign, so it is put clearly outside the cone
            values = np.where(on_kink, -100 * order * EPS * np.abs(values).max(), values)
            v[start:stop] = vector((vectors * values) @ vectors.T)
    return v


def _touching(gap: float, size: float) -> bool:
    return abs(gap) <= 8 * EPS * size


def _surfaces(where: Layout, exponents: np.ndarray, v: np.ndarray, hint: np.ndarray | None) -> list[Any]:
    found = []
    for rows, surface in (
        (where.exponential, exponential_surface),
        (where.power, lambda block, near: power_surface(block, exponents, near)),
    ):
        if len(rows):
            found.append((surface(v[rows], None if hint is None else hint[rows]), rows))
    return found
