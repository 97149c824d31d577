"""Cone programs."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base.checks import floating, require_finite
from ..core import AbstractProblem, AbstractSolver, Linearisation
from ..linear import AbstractMatrix, problem_matrix
from ..penalties.cones import AbstractCone
from ..solvers.external import Clarabel
from ..solvers.external.conic_inverse import ConicInverse, known


class ConicPoint(NamedTuple):
    """The unknown of a cone program: the point `x`, and `v = s - y`, slack minus multiplier."""

    x: Float[Array, " n"]
    v: Float[Array, " m"]


class Conic(AbstractProblem[ConicPoint]):
    """`min 1/2 x^T P x + q^T x` subject to `A x + s = b`, `s in K`; build it with `icg.conic`.

    Slack and multiplier are the two parts of one vector `v` (Moreau): `s = Pi_K(v)`, `y = Pi_K(v) - v` in the dual
    cone, `s^T y = 0`. The optimality system is then the equation

        P x + q + A^T (Pi_K(v) - v) = 0,   A x + Pi_K(v) - b = 0,

    whose kinks are those of the projection. Tie rule: that of the projections, the smallest face.
    """

    P: AbstractMatrix | None
    q: Float[Array, " n"]
    A: AbstractMatrix
    b: Float[Array, " m"]
    cone: AbstractCone

    def residual(self, z: ConicPoint) -> ConicPoint:
        """The optimality system."""
        s = self.cone.project(z.v)
        return ConicPoint(self._gradient(z.x) + self.A.adjoint_product(s - z.v), self.A.product(z.x) + s - self.b)

    def _gradient(self, x: Array) -> Array:
        if self.P is None:
            return self.q
        return (self.P.product(x) + self.P.adjoint_product(x)) / 2 + self.q

    def unknown(self, x: Array, v: Array) -> ConicPoint:
        """The unknown with these parts."""
        return ConicPoint(x, v)

    def initial(self) -> ConicPoint:
        """Zeros; the solvers make their own start."""
        return ConicPoint(jnp.zeros_like(self.q), jnp.zeros_like(self.b))

    def present(self, z: ConicPoint) -> tuple[Array, Array]:
        """`x`, and the multiplier `y`."""
        return z.x, self.cone.project(z.v) - z.v + 0.0  # the sum turns -0 into 0

    def slack(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        """`s = b - A x`, with the derivatives of `x`."""
        return self.b - self.A.product(x)

    def invalid(self) -> Array:
        """Whether a parameter of the cone (the exponent of a power cone) is outside its domain."""
        return jnp.any(self.cone.invalid())

    def linearise(self, z: ConicPoint, memory: Any = None) -> Linearisation[ConicPoint]:
        """As for every equation, with an inverse on the host that knows the structure."""
        linearisation = super().linearise(z, memory)
        if not known(self.cone):
            return linearisation
        inverse = ConicInverse(self.P, self.A, self.cone, z.v, self.cone.project(z.v))
        return eqx.tree_at(lambda l: l.inverse, linearisation, inverse, is_leaf=lambda leaf: leaf is None)

    def default_solver(self) -> AbstractSolver:
        """Clarabel."""
        return Clarabel()


def conic(
    P: Float[ArrayLike, "n n"] | Any | None,
    q: Float[ArrayLike, " n"],
    A: Float[ArrayLike, "m n"] | Any,
    b: Float[ArrayLike, " m"],
    cone: AbstractCone,
) -> Conic:
    """The cone program `min_x 1/2 x^T P x + q^T x` subject to `A x + s = b`, `s` in a cone: Clarabel's convention.

    Args:
        P: symmetric positive semidefinite `(n, n)`, both triangles; its symmetric part is used. `None` is zero.
        q: `(n,)`.
        A: `(m, n)`. It and `P` may be dense, a SciPy sparse matrix, or a `jax.experimental.sparse.BCOO`, whose pattern
            is fixed and whose entries are differentiated.
        b: `(m,)`.
        cone: of dimension `m`, from `icg.cones`: `Zero`, `Nonnegative`, `SecondOrder`, `PSD`, `Exponential`, `Power`,
            or a `Product` of them. Matrices of a `PSD` cone are given by the columns of their upper triangle with
            entries off the diagonal times `sqrt(2)`, as Clarabel has them (`cone.vector(S)`, `cone.matrix(s)`).

    Returns:
        A problem for `icg.solve`: its value is `x`, its dual `y` in the dual cone with `P x + q + A^T y = 0`, and
        `problem.slack(x)` is `s`.

    Raises:
        ValueError: wrong shapes or non-finite data, by name. TypeError: `cone` is not a cone. Infeasible, unbounded and
            not unique are statuses.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> u = jnp.array([1.0, 3.0, 4.0])  # its projection on the second-order cone
        >>> nearest = icg.conic(jnp.eye(3), -u, -jnp.eye(3), jnp.zeros(3), icg.cones.SecondOrder(3))
        >>> icg.solve(nearest).value.round(4)
        Array([3. , 1.8, 2.4], dtype=float32)

    Source: Goulart, Chen, 2024, for the form; Bolte, Pauwels, Silveti-Falls, 2024, for the derivative.
    """
    if not isinstance(cone, AbstractCone):
        raise TypeError(f"cone is a {type(cone).__name__}; give one of icg.cones, as in icg.cones.Nonnegative(3).")
    q, b, A = floating(q, "q"), floating(b, "b"), problem_matrix(A, "A")
    P = None if P is None else problem_matrix(P, "P")
    if q.ndim != 1 or q.shape[0] == 0:
        raise ValueError(f"q has shape {q.shape}; a vector of shape (n,) with n > 0 is needed.")
    n, m = q.shape[0], cone.dimension
    if b.shape != (m,):
        raise ValueError(f"b has shape {b.shape}; the cone has dimension {m}, so b must have shape ({m},).")
    if A.shape != (m, n):
        raise ValueError(f"A has shape {A.shape}; with q of shape ({n},) and a cone of dimension {m}, ({m}, {n}).")
    if P is not None and P.shape != (n, n):
        raise ValueError(f"P has shape {P.shape}; with q of shape ({n},) it must have shape ({n}, {n}).")
    require_finite(q, "q")
    require_finite(b, "b")
    dtype = jnp.result_type(q.dtype, b.dtype, A.dtype, *([] if P is None else [P.dtype]))
    return Conic(None if P is None else P.astype(dtype), q.astype(dtype), A.astype(dtype), b.astype(dtype), cone)
