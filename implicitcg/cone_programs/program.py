"""A cone program as plain data on the host: where its cones are, what goes to a library, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array

from ..penalties.cones import PSD, AbstractCone, Exponential, Nonnegative, Power, Product, SecondOrder, Zero

KNOWN = (Zero, Nonnegative, SecondOrder, PSD, Exponential, Power)  # the cones whose faces the host knows


@dataclass(frozen=True)
class Layout:
    """Where the rows of each kind of cone are; `kinds` are the cones in order, as (class, dimension, order).

    `zero` and `orthant` are row numbers, `rounds` and `matrices` are `(start, stop)` of second-order and
    `(start, stop, order)` of semidefinite cones, `exponential` and `power` are row numbers `(k, 3)`.
    """

    size: int
    kinds: tuple[tuple[type, int, int], ...]
    zero: np.ndarray
    orthant: np.ndarray
    rounds: tuple[tuple[int, int], ...]
    matrices: tuple[tuple[int, int, int], ...]
    exponential: np.ndarray
    power: np.ndarray

    def by_kind(self, *, lower: bool) -> list[np.ndarray]:
        """The rows of each kind in the order of a library: zero, orthant, rounds, matrices, exponential, power.

        With `lower`, the entries of a matrix go down the columns of its lower triangle, not of its upper one.
        """
        rounds = [np.arange(start, stop) for start, stop in self.rounds]
        matrices = []
        for start, stop, order in self.matrices:
            block = np.arange(start, stop)
            column, row = np.triu_indices(order)  # of the lower triangle, column by column
            matrices.append(block[row * (row + 1) // 2 + column] if lower else block)
        kinds = [self.zero], [self.orthant], rounds, matrices, [self.exponential.ravel()], [self.power.ravel()]
        return [np.concatenate([np.zeros(0, int), *kind]) for kind in kinds]


@dataclass(frozen=True)
class ConeProgram:
    """`min 1/2 x^T P x + q^T x`, `A x + s = b`, `s` in a product of cones, in float64 on the host.

    `P` is symmetric with both triangles, and `None` for a linear objective. `where` tells the cones, `exponents` are
    those of the power cones among them, in order.
    """

    P: scipy.sparse.csc_array | None
    q: np.ndarray
    A: scipy.sparse.csc_array
    b: np.ndarray
    where: Layout
    exponents: np.ndarray


@dataclass(frozen=True)
class ConePoint:
    """What a library found: `x`, the slack `s`, the multiplier `y` in the dual cone, a verdict and the iterations."""

    x: np.ndarray
    s: np.ndarray
    y: np.ndarray
    verdict: int
    iterations: int


def blocks(cone: AbstractCone) -> tuple[AbstractCone, ...]:
    """The cones of a product, and of the products inside it, in the order of their rows; empty ones are left out."""
    if isinstance(cone, Product):
        return tuple(part for inner in cone.cones for part in blocks(inner))
    return (cone,) if cone.dimension else ()


def known(cone: AbstractCone) -> bool:
    """Whether the host knows the faces of all parts of a cone."""
    return all(type(part) in KNOWN for part in blocks(cone))


def exponents_in(cone: AbstractCone) -> tuple[Array, ...]:
    """The exponents of the power cones of a product, in order."""
    return tuple(jnp.asarray(part.a) for part in blocks(cone) if isinstance(part, Power))


def layout(cone: AbstractCone) -> Layout:
    """The layout of a cone, or of a product of cones."""
    orders = [(part, part.order if isinstance(part, PSD) else 0) for part in blocks(cone)]
    return _layout(tuple((type(part), part.dimension, order) for part, order in orders))


@lru_cache(maxsize=256)
def _layout(kinds: tuple[tuple[type, int, int], ...]) -> Layout:
    rows: dict[Any, list[np.ndarray]] = {kind: [] for kind in (Zero, Nonnegative, Exponential, Power)}
    rounds, matrices, start = [], [], 0
    for kind, dimension, order in kinds:
        stop = start + dimension
        if dimension == 1 and kind in (SecondOrder, PSD):
            kind = Nonnegative
        if kind is SecondOrder:
            rounds.append((start, stop))
        elif kind is PSD:
            matrices.append((start, stop, order))
        else:
            rows[kind].append(np.arange(start, stop))
        start = stop

    def joined(kind: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, int), *rows[kind]])

    curved = joined(Exponential).reshape(-1, 3), joined(Power).reshape(-1, 3)
    return Layout(start, tuple(kinds), joined(Zero), joined(Nonnegative), tuple(rounds), tuple(matrices), *curved)


def cone_program(arrays: tuple[Any, ...], where: Layout) -> ConeProgram | None:
    """The program of `P`, `q`, `A`, `b` and exponents with NumPy leaves, or `None` where they are not finite."""
    P, q, A, b, exponents = arrays
    P = None if P is None else symmetric_part(type(P).compressed(P))
    A, q, b = type(A).compressed(A), np.asarray(q, np.float64), np.asarray(b, np.float64)
    parts = [q, b, A.data] + ([] if P is None else [P.data])
    if not all(np.isfinite(part).all() for part in parts):
        return None
    return ConeProgram(P, q, A, b, where, np.array(exponents, np.float64))


def symmetric_part(P: scipy.sparse.csc_array) -> scipy.sparse.csc_array:
    """`(P + P^T) / 2`, with sorted indices."""
    P = scipy.sparse.csc_array((P + P.T) / 2)
    P.sort_indices()
    return P
