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

from ..nonsmooth import conservative_jacobian, kinks
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
    near = eps**0.75 * max(1.0, float(np.max(np.abs(flat), initial=0.0))) if tolerance is None else tolerance
    found = _examine(equation, flat, near)
    if tolerance is None and found.smallest > 0 and 2 * error / found.smallest > near:
        found = _examine(equation, flat, 2 * error / found.smallest)
    return found.certificate()


class _Examined(NamedTuple):
    """What the vertices show: signs of determinants, the smallest singular value, whether one is singular to rounding."""

    signs: np.ndarray
    smallest: float
    singular: bool
    exhaustive: bool
    scalar: bool
    kinks: int
    margin: float

    def certificate(self) -> Certificate:
        count = len(self.signs)

        def verdict(name: Verdict, reason: str) -> Certificate:
            return Certificate(name, self.kinks, self.margin, self.smallest, count, reason)

        if self.singular:
            return verdict("singular", "an element of the conservative Jacobian of the equation is singular")
        if len(set(self.signs.tolist())) > 1:
            return verdict(
                "singular",
                "the determinants at the vertices have both signs, so an element between them is singular: one healthy "
                "selection proves nothing",
            )
        if not self.exhaustive:
            return verdict("unknown", f"the {count} elements sampled are invertible, but there are too many to examine")
        if not self.scalar:
            return verdict(
                "unknown",
                f"the {count} vertices are invertible with determinants of one sign, but a kink is not scalar, so the "
                "elements between them are not covered",
            )
        if self.kinks == 0:
            return verdict("certified", "no kink is active and the Jacobian of the equation is invertible")
        return verdict("certified", f"the determinants at all {count} vertices are nonzero and of one sign")


def _examine(equation: Callable[[Any], Any], z: Any, near: float) -> _Examined:
    elements, report = conservative_jacobian(equation, z, tol=near), kinks(equation, z, tol=near)
    entries = np.asarray(report.entries)
    scalar = all(kind == "interval" for kind, count in zip(report.kinds, entries, strict=True) if count)
    matrices = np.asarray(elements.vertices)
    # to unit rows, so that the threshold below does not depend on the units of the equations
    matrices = matrices / np.maximum(np.linalg.norm(matrices, axis=2, keepdims=True), np.finfo(matrices.dtype).tiny)
    values = np.linalg.svd(matrices, compute_uv=False) if z.shape[0] else np.ones((len(matrices), 1))
    threshold = 10 * max(z.shape[0], 1) * np.finfo(matrices.dtype).eps * values[:, 0]
    return _Examined(
        signs=np.linalg.slogdet(matrices)[0],
        smallest=float(np.linalg.svd(np.asarray(elements.vertices), compute_uv=False).min(initial=np.inf)),
        singular=bool(np.any(values[:, -1] <= threshold)),
        exhaustive=elements.exhaustive,
        scalar=scalar,
        kinks=int(entries.sum()),
        margin=float(report.margin),
    )
