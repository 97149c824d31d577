"""The certificate of a smooth loss plus a penalty of blocks, from one Hessian."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..base import kink_tolerance
from ..core import Certificate, judge_positive_definite
from ..penalties import AbstractSeparable, Branches
from .thresholds import THRESHOLDS

if TYPE_CHECKING:
    from .composite import Composite


def certify_face(problem: Composite, z: Array, residual: float, tolerance: float | None) -> Certificate:
    """The verdict on every element at `z`, exact for convex problems.

    Let `E` be the free blocks and those on their kink, the latter along the directions in which they can enter. For
    every selection `S`, `det B_S` is a positive multiple of a principal minor of the Hessian `K_EE`, and fractional
    weights only add a nonnegative diagonal. So for a convex problem every element is invertible exactly when `K_EE`
    is positive definite. A nonconvex penalty may have more kinks, where two of its curvatures meet; `K_EE` with the
    lower ones being definite still suffices. At a saddle it is not definite, and the determinants at the vertices,
    multi-affine in all weights, are compared instead.
    """
    branches, *facts = _examine(problem, jax.device_put(z))
    curvature, blocks, low, here, apart = map(np.asarray, facts)
    free, distance = np.asarray(branches.free) > 0, np.asarray(branches.distance)

    def judged(active: np.ndarray, bending: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool, float]:
        index = np.flatnonzero((free | active)[blocks])
        block = _hessian(problem, z, index, (active & ~free)[blocks])
        block = block + np.diag(np.where(bending, np.minimum(low - here, 0), 0)[index])
        return index, block, *judge_positive_definite(block)

    def bends(tolerance: float) -> np.ndarray:
        return free[blocks] & (apart <= np.maximum(tolerance, kink_tolerance(z.dtype) * np.abs(z)))

    near = 0.0 if tolerance is None else tolerance
    active, bending = _on_kink(branches, near), bends(near)
    index, block, definite, smallest = judged(active, bending)
    if tolerance is None and definite and len(index):
        # how far the solution may be from the true one: the residual through the inverse of B on the face
        bound = residual * (1 + float(np.max(curvature[index])) / smallest)
        wider, wider_bending = _on_kink(branches, bound), bends(bound)
        if np.any(wider & ~active) or np.any(wider_bending & ~bending):
            active, bending = wider, wider_bending
            index, block, definite, smallest = judged(active, bending)
    kinks = int(active.sum() + bending.sum())
    margin = float(min(np.min(distance, initial=np.inf), np.min(apart[free[blocks]], initial=np.inf)))
    point = "" if problem.penalty.convex else "; this is a stationary point of a nonconvex problem, one of perhaps many"
    size = len(index)
    if definite:
        reason = (
            "no coordinate is free or on a kink: the solution does not move"
            if size == 0
            else f"the Hessian on the {size} free or tied coordinates (equicorrelation set) is positive definite"
        )
        return Certificate("certified", kinks, margin, smallest, 2**kinks, reason + point)
    if not problem.penalty.convex:
        return _by_vertices(block, index, (active & ~free)[blocks], bending, here - low, kinks, margin, point)
    reason = (
        f"the {size} free or tied coordinates (equicorrelation set) are linearly dependent in the Hessian, as "
        "with duplicated columns or more active features than samples; derivatives are not determined"
    )
    return Certificate("singular", kinks, margin, max(smallest, 0.0), 2**kinks, reason)


def _by_vertices(
    block: np.ndarray,
    index: np.ndarray,
    tied: np.ndarray,
    bending: np.ndarray,
    rise: np.ndarray,
    kinks: int,
    margin: float,
    point: str,
) -> Certificate:
    """Determinants at all vertices of an indefinite Hessian: nonzero and of one sign, or not."""
    if kinks > THRESHOLDS.kinks:
        reason = f"the Hessian is indefinite and its {kinks} kinks are too many to compare all determinants"
        return Certificate("unknown", kinks, margin, np.nan, 0, reason + point)
    enters, bends = np.flatnonzero(tied[index]), np.flatnonzero(bending[index])
    signs, values = [], []
    for chosen in itertools.product([0.0, 1.0], repeat=kinks):
        inside = np.ones(len(index))
        inside[enters] = chosen[: len(enters)]
        vertex = block.copy()
        vertex[bends, bends] += np.asarray(chosen[len(enters) :]) * np.abs(rise)[index][bends]
        vertex = inside[:, None] * vertex * inside[None, :] + np.diag(1 - inside)
        spectrum = np.linalg.eigvalsh(vertex)
        values.append(float(np.min(np.abs(spectrum)) / np.max(np.abs(spectrum))))
        signs.append(float(np.prod(np.sign(spectrum))))
    smallest = float(np.min(np.abs(np.linalg.eigvalsh(block)), initial=np.inf))
    if min(values) <= 10 * len(index) * np.finfo(block.dtype).eps or len(set(signs)) > 1:
        reason = "the Hessian at the point found is not definite, and an element between its kinks is singular"
        return Certificate("singular", kinks, margin, smallest, len(signs), reason + point)
    reason = f"the Hessian is indefinite (a saddle), but the determinants at all {len(signs)} vertices have one sign"
    return Certificate("certified", kinks, margin, smallest, len(signs), reason + point)


@eqx.filter_jit
def _examine(problem: Composite, z: Array) -> tuple:
    """The branches, the curvatures of the loss, the block of each coordinate, and the curvatures that meet at kinks."""
    penalty, u = problem.penalty, problem.forward(z)
    branches = problem.branches(z)
    blocks = penalty.spread(jnp.arange(branches.free.shape[0]))
    none = jnp.zeros_like(z)
    other, here, apart = none, none, jnp.full_like(z, jnp.inf)
    if isinstance(penalty, AbstractSeparable) and penalty.bends:
        other, here, apart = penalty.bent(z, u)
    return branches, problem.smooth.curvature(), blocks, jnp.minimum(other, here), here, apart


@eqx.filter_jit
def _block(problem: Composite, z: Array, index: Array, tied: Array) -> Array:
    return problem.face_block(z, problem.forward(z), index, tied)


def _hessian(problem: Composite, z: Array, index: np.ndarray, tied: np.ndarray) -> np.ndarray:
    # few shapes, so few programs
    size = max(THRESHOLDS.smallest_face, 1 << max(len(index) - 1, 0).bit_length())
    padded = np.zeros(size, np.int32)
    padded[: len(index)] = index
    block = _block(problem, *jax.device_put((z, padded, tied)))
    return np.asarray(block)[: len(index), : len(index)]


def _on_kink(branches: Branches, tolerance: float) -> np.ndarray:
    """`Branches.on_kink` on the host, where it compiles nothing."""
    distance, scale = np.asarray(branches.distance), np.asarray(branches.scale)
    return distance <= np.maximum(tolerance, kink_tolerance(scale.dtype) * scale)
