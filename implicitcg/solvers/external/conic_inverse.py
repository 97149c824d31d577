"""The inverse of the linearised equation of a cone program, on the host."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import Array
from jaxtyping import Bool, Float

from ...core import AbstractInverse
from ...linear import AbstractMatrix
from ...penalties.cones import PSD, AbstractCone, Exponential, Nonnegative, Power, SecondOrder, Zero
from .cone_faces import exponents_of, face, layout
from .conic_library import factors, symmetric_part
from .face_system import System
from .lanes import lanes_on_host
from .recent_factors import RECENT

KNOWN = (Zero, Nonnegative, SecondOrder, PSD, Exponential, Power)


class ConicInverse(AbstractInverse):
    """`B^{-1}` for `B = [[P, A^T (D - I)], [A, D]]`, with `D` the Jacobian of the projection at `v`.

    One callback for a whole batch. The factors of a moment ago are used again: those of the forward solve where the
    face is polyhedral, and those of the first right side for all that share its matrix.
    """

    P: AbstractMatrix | None
    A: AbstractMatrix
    cone: AbstractCone
    v: Float[Array, " m"]
    slack: Float[Array, " m"]

    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        """See `AbstractInverse.solve`."""
        arrays, rest = eqx.partition(self, eqx.is_array)
        shapes = (jax.ShapeDtypeStruct(rhs.shape, rhs.dtype), jax.ShapeDtypeStruct((), jnp.bool_))

        def solve(arrays: Any, rhs: np.ndarray) -> tuple[np.ndarray, bool]:
            rhs = np.asarray(rhs, np.float64)
            if not rhs.any():
                return rhs, True
            system = _factorised(eqx.combine(arrays, rest))
            if system is None or not system.healthy or not np.isfinite(rhs).all():
                return np.zeros_like(rhs), False
            A: Any = system.A
            n = A.shape[1]
            r, t = rhs[:n], rhs[n:]
            if transposed:
                u, dy = system.solve(r - system.AT @ t, -t)
                return np.concatenate([u, t + dy]), system.consistent(u, -t)
            dx, dy = system.solve(r, t)
            return np.concatenate([dx, t - A @ dx - dy]), system.consistent(dx, t)

        return lanes_on_host(solve, shapes, arrays, rhs)


def known(cone: AbstractCone) -> bool:
    """Whether the host knows the faces of all parts of a cone."""
    return all(type(part) in KNOWN for part in factors(cone))


def _factorised(inverse: Any) -> System | None:
    P: scipy.sparse.csc_array | None = None if inverse.P is None else symmetric_part(inverse.P.on_host())
    A, cones = inverse.A.on_host(), factors(inverse.cone)
    v, slack = np.asarray(inverse.v, np.float64), np.asarray(inverse.slack, np.float64)
    if not (np.isfinite(v).all() and np.isfinite(A.data).all() and (P is None or np.isfinite(P.data).all())):
        return None
    return RECENT.system(P, A, face(layout(cones), exponents_of(cones), v, slack))
