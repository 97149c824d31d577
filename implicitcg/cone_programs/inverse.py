"""The inverse of the linearised equation of a cone program, on the host."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from ..base.lanes import lanes_on_host
from ..linear import AbstractInverse, AbstractMatrix, Facts
from ..penalties.cones import AbstractCone
from .chosen_system import by_products
from .faces import face
from .program import Layout, exponents_in, layout, symmetric_part
from .recent_systems import RECENT
from .system import ConeSystem


class ConicInverse(AbstractInverse):
    """`B^{-1}` for `B = [[P, A^T (D - I)], [A, D]]`, with `D` the Jacobian of the projection at `v`.

    One callback for a whole batch. The factors of a moment ago are used again: those of the forward solve where the
    face is polyhedral, and those of the first right side for all that share its matrix. The selection is made in the
    projection, where it is not seen from here: whether this is the `B` at hand, residuals say.
    """

    P: AbstractMatrix | None
    A: AbstractMatrix
    cone: AbstractCone
    v: Float[Array, " m"]
    slack: Float[Array, " m"]

    def facts(self) -> Facts:
        """See `AbstractInverse.facts`: it is dear where a cone is so large that its system is not formed."""
        return Facts(dear=by_products(layout(self.cone)))

    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        P, A, exponents, where = self.P, self.A, exponents_in(self.cone), layout(self.cone)
        shapes = (jax.ShapeDtypeStruct(rhs.shape, rhs.dtype), jax.ShapeDtypeStruct((), jnp.bool_))

        def solve(
            P: Any, A: Any, exponents: Any, v: np.ndarray, slack: np.ndarray, rhs: np.ndarray
        ) -> tuple[np.ndarray, bool]:
            rhs = np.asarray(rhs, np.float64)
            if not rhs.any():
                return rhs, True
            system = _factorised(P, A, where, np.array(exponents, np.float64), v, slack)
            if system is None or not system.healthy or not np.isfinite(rhs).all():
                return np.zeros_like(rhs), False
            A = system.A
            n = A.shape[1]
            r, t = rhs[:n], rhs[n:]
            if transposed:
                u, dy = system.solve(r - system.AT @ t, -t)
                return np.concatenate([u, t + dy]), system.consistent(u, -t)
            dx, dy = system.solve(r, t)
            return np.concatenate([dx, t - A @ dx - dy]), system.consistent(dx, t)

        return lanes_on_host(solve, shapes, P, A, exponents, self.v, self.slack, rhs)


def _factorised(
    P: Any, A: Any, where: Layout, exponents: np.ndarray, v: np.ndarray, slack: np.ndarray
) -> ConeSystem | None:
    P = None if P is None else symmetric_part(type(P).compressed(P))
    A, v, slack = type(A).compressed(A), np.asarray(v, np.float64), np.asarray(slack, np.float64)
    if not (np.isfinite(v).all() and np.isfinite(A.data).all() and (P is None or np.isfinite(P.data).all())):
        return None
    return RECENT.system(P, A, face(where, exponents, v, slack))
