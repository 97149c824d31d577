"""The finite test of the theorem's condition: determinants at the vertices, of one sign.

When every active kink is scalar, its weight `d_i` in `[0, 1]` enters `B` through a rank-one term, so `det B(d)` is
affine in each `d_i`. A multi-affine function on a box takes its extremes at the vertices: every `B(d)` is invertible
exactly when the determinants at the vertices are nonzero and of one sign.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..nonsmooth import RankOneTerms, rank_one_terms
from ..nonsmooth.elements import Programs
from ..nonsmooth.report import count_and_margin
from .certificate import Certificate, Verdict, judge_positive_definite

if TYPE_CHECKING:
    from .problem import AbstractProblem

ENUMERATED = 10  # kinks up to which all vertices are formed from the rank-one terms: 1024 matrices
SAMPLED = 1024  # elements examined where the kinks have no rank-one form
REMEMBERED = 64  # structures of problems whose compiled programs are kept


def vertex_certificate(problem: AbstractProblem, z: Any, error: float, tolerance: float | None) -> Certificate:
    """The certificate of `problem.residual(z) = 0` from the elements of its conservative Jacobian at `z`.

    Kinks closer than `tolerance` are active; by default those closer than the error of `z`, estimated by the residual
    times the largest `||B^{-1}||` met.
    """
    z = jax.device_put(z)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(z)]
    eps = float(np.finfo(np.result_type(*leaves)).eps) if leaves else 0.0
    size = max(1.0, *(float(np.max(np.abs(leaf), initial=0.0)) for leaf in leaves)) if leaves else 1.0
    near = eps**0.75 * size if tolerance is None else tolerance
    found = _examine(problem, z, near)
    if tolerance is None and found.min_singular_value > 0:
        bound = 2 * error / found.min_singular_value
        if near < bound and found.margin <= bound:  # the solution is too inexact to tell these kinks apart
            return _examine(problem, z, bound)
    return found


def kinks_of(problem: AbstractProblem, z: Any, tolerance: float) -> tuple[int, float]:
    """How many kinks of the problem's equation are within `tolerance` of `z`, and how far the nearest of all is."""
    count, margin = _kinks(problem, z, jnp.asarray(tolerance, float))
    return int(count), float(margin)


@eqx.filter_jit
def _kinks(problem: AbstractProblem, z: Any, tolerance: jax.Array) -> tuple[jax.Array, jax.Array]:
    return count_and_margin(lambda z: ravel_pytree(problem.residual(z))[0], z, tol=tolerance)


@functools.lru_cache(maxsize=REMEMBERED)
def _programs(structure: Any, static: tuple) -> Programs:
    def equation(z: Any, numbers: Any) -> Any:
        problem = eqx.combine(numbers, jax.tree.unflatten(structure, static))
        return ravel_pytree(problem.residual(z))[0]

    return Programs(equation)


def _examine(problem: AbstractProblem, z: Any, near: float) -> Certificate:
    """The vertices by their rank-one terms where the kinks have them, by evaluation otherwise."""
    count, margin = kinks_of(problem, z, near)
    numbers, rest = eqx.partition(problem, lambda leaf: isinstance(leaf, jax.Array | np.ndarray | np.generic))
    static, structure = jax.tree.flatten(rest)
    elements = _programs(structure, tuple(static)).at(z, numbers, tol=near)
    terms = rank_one_terms(elements) if count else None
    if terms is not None and count > ENUMERATED:
        return _by_symmetric_part(terms, count, margin)
    if terms is not None:
        weights = np.asarray(list(itertools.product([0.0, 1.0], repeat=len(terms.left))))
        matrices = terms.base + np.einsum("vk,ki,kj->vij", weights, terms.left, terms.right)
        return _judge(matrices, True, True, count, margin)
    found = elements.enumerated(z, SAMPLED)
    blocks = [np.asarray(block) for block in jax.tree.leaves(found.vertices)]
    matrices = np.concatenate([block.reshape(*block.shape[:2], -1) for block in blocks], axis=2)
    return _judge(matrices, found.exhaustive, count == 0, count, margin)


def _by_symmetric_part(terms: RankOneTerms, count: int, margin: float) -> Certificate:
    """A sufficient condition for any number `k` of kinks, which holds at every monotone or contractive equilibrium.

    With `B(d) = B_0 + sum_i d_i u_i v_i^T` and `M_ij = v_i^T B_0^{-1} u_j`, `det B(d) = det B_0 det(I + D M)`. If
    `I + (M + M^T)/2` is positive definite no `d` in the box is singular: `x = -D M x` gives `x_i^2 <= -x_i (M x)_i`,
    hence `x^T (I + M) x <= 0`, so `x = 0`.
    """
    ends = np.stack([terms.base, terms.base + terms.left.T @ terms.right])
    few = _judge(ends, False, True, count, margin)
    if few.verdict == "singular":
        return few
    M = terms.right @ np.linalg.solve(terms.base, terms.left.T)
    definite, smallest = judge_positive_definite(np.eye(len(M)) + (M + M.T) / 2)
    if not definite:
        return few
    reason = (
        f"the symmetric part of the coupling of the {count} active kinks is positive definite, as for a monotone or "
        "contractive map, so no element is singular"
    )
    return Certificate("certified", count, margin, smallest, 2**count, reason)


def _judge(matrices: np.ndarray, exhaustive: bool, scalar: bool, kinks: int, margin: float) -> Certificate:
    """The verdict on a list of vertices; `scalar` says that what lies between them is covered by their signs."""
    count, dimension = matrices.shape[:2]
    if dimension == 0:
        return Certificate("certified", kinks, margin, 1.0, count, "there is no unknown")
    # to unit rows, so that the threshold does not depend on the units of the equations
    rows = np.maximum(np.linalg.norm(matrices, axis=2, keepdims=True), np.finfo(matrices.dtype).tiny)
    values = np.linalg.svd(matrices / rows, compute_uv=False)
    singular = np.any(values[:, -1] <= 10 * dimension * np.finfo(matrices.dtype).eps * values[:, 0])
    signs = np.linalg.slogdet(matrices / rows)[0]
    smallest = float(np.linalg.svd(matrices, compute_uv=False).min())

    def verdict(name: Verdict, reason: str) -> Certificate:
        return Certificate(name, kinks, margin, smallest, count, reason)

    if singular:
        return verdict("singular", "an element of the conservative Jacobian of the equation is singular")
    if np.any(signs != signs[0]):
        return verdict(
            "singular",
            "the determinants at the vertices have both signs, so an element between them is singular: one healthy "
            "selection proves nothing",
        )
    if not exhaustive:
        return verdict(
            "unknown", f"the {count} elements examined are invertible, but there are too many to examine all"
        )
    if not scalar:
        return verdict(
            "unknown",
            f"the {count} vertices are invertible with determinants of one sign, but not every kink is scalar, so the "
            "elements between them are not covered",
        )
    if kinks == 0:
        return verdict("certified", "no kink is active and the Jacobian of the equation is invertible")
    return verdict("certified", f"the determinants at all {count} vertices are nonzero and of one sign")
