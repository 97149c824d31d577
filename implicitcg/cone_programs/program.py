"""A cone program as plain data on the host: what goes to a library, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array

from ..penalties.cones import AbstractCone, Power, Product
from .faces import Layout, layout


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


def factors(cone: AbstractCone) -> tuple[AbstractCone, ...]:
    """The cones of a product, and of the products inside it, in the order of their blocks; empty ones are left out."""
    if isinstance(cone, Product):
        return tuple(part for inner in cone.cones for part in factors(inner))
    return (cone,) if cone.dimension else ()


def data_of(problem: Any) -> tuple[tuple[Any, ...], Layout]:
    """The arrays of a cone program, `P`, `q`, `A`, `b` and exponents, and what is known before they are."""
    return (problem.P, problem.q, problem.A, problem.b, exponents_in(problem.cone)), layout(factors(problem.cone))


def exponents_in(cone: AbstractCone) -> tuple[Array, ...]:
    """The exponents of the power cones of a product, in order."""
    return tuple(jnp.asarray(part.a) for part in factors(cone) if isinstance(part, Power))


def cone_program(arrays: tuple[Any, ...], where: Layout) -> ConeProgram | None:
    """The program of `data_of` with NumPy leaves, or `None` where they are not finite."""
    P, q, A, b, exponents = arrays
    P = None if P is None else symmetric_part(type(P).on_host(P))
    A, q, b = type(A).on_host(A), np.asarray(q, np.float64), np.asarray(b, np.float64)
    parts = [q, b, A.data] + ([] if P is None else [P.data])
    if not all(np.isfinite(part).all() for part in parts):
        return None
    return ConeProgram(P, q, A, b, where, np.array(exponents, np.float64))


def symmetric_part(P: scipy.sparse.csc_array) -> scipy.sparse.csc_array:
    """`(P + P^T) / 2`, with sorted indices."""
    P = scipy.sparse.csc_array((P + P.T) / 2)
    P.sort_indices()
    return P
