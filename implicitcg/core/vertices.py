"""The finite test of the theorem's condition: determinants at the vertices, of one sign.

When every active kink is scalar, its weight `d_i` in `[0, 1]` enters `B` through a rank-one term, so `det B(d)` is
affine in each `d_i`. A multi-affine function on a box takes its extremes at the vertices: every `B(d)` is invertible
exactly when the determinants at the vertices are nonzero and of one sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..nonsmooth import conservative_jacobian
from .certificate import Certificate, Verdict


def vertex_certificate(
    residual: Callable[[Any], Any], z: Any, error: float, tolerance: float | None
) -> Certificate:
    """The certificate of `F(z) = residual(z)` from the elements of its conservative Jacobian at `z`.

    Kinks closer than `tolerance` are active; by default those closer than the error of `z`, estimated by the residual
    times the largest `||B^{-1}||` met.
    """
    flat, unravel = ravel_pytree(jax.tree.map(jax.numpy.asarray, z))

    def equation(v: Any) -> Any:
        return ravel_pytree(residual(unravel(v)))[0]

    eps = float(jax.numpy.finfo(flat.dtype).eps)
    rounding = eps**0.75 * max(1.0, float(np.max(np.abs(flat), initial=0.0)))
    elements = conservative_jacobian(equation, flat, tol=rounding if tolerance is None else tolerance)
    judged = _judge(np.asarray(elements.vertices))
    if tolerance is None and judged.smallest > 0:
        elements = conservative_jacobian(equation, flat, tol=max(rounding, 2 * error / judged.smallest))
        judged = _judge(np.asarray(elements.vertices))
    return _certificate(elements, judged)


class _Judged(NamedTuple):
    """Signs of the determinants, the smallest singular value, and whether some vertex is singular to rounding."""

    signs: np.ndarray
    smallest: float
    singular: bool


def _judge(vertices: np.ndarray) -> _Judged:
    dimension = vertices.shape[-1]
    if dimension == 0:
        return _Judged(np.ones(len(vertices)), 1.0, False)
    values = np.linalg.svd(vertices, compute_uv=False)
    threshold = 10 * dimension * np.finfo(vertices.dtype).eps * values[:, 0]
    signs, _ = np.linalg.slogdet(vertices)
    return _Judged(signs, float(values[:, -1].min()), bool(np.any(values[:, -1] <= threshold)))


def _certificate(elements: Any, judged: _Judged) -> Certificate:
    count = len(judged.signs)
    kinks, margin = int(elements.kinks), float(elements.margin)

    def verdict(name: Verdict, reason: str) -> Certificate:
        return Certificate(name, kinks, margin, judged.smallest, count, reason)

    if judged.singular:
        return verdict("singular", "an element of the conservative Jacobian of the equation is singular")
    if len(set(judged.signs.tolist())) > 1:
        return verdict(
            "singular",
            "the determinants at the vertices have both signs, so an element between them is singular; one healthy "
            "selection proves nothing",
        )
    if not elements.exhaustive:
        return verdict("unknown", f"all of the {count} elements sampled are invertible, but there are too many to examine")
    if not elements.scalar:
        return verdict(
            "unknown",
            f"the {count} vertices are invertible with determinants of one sign, but some kink is not scalar, so the "
            "elements between them are not covered",
        )
    if kinks == 0:
        return verdict("certified", "there is no kink at the solution and the Jacobian of the equation is invertible")
    return verdict("certified", f"the determinants at all {count} vertices are nonzero and of one sign")
