"""Cone programs."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base import kink_tolerance
from ..base.checks import floating, require_finite
from ..cone_programs import ConicInverse, Layout, exponents_in, known, layout
from ..core import AbstractProblem, Certificate, Linearisation, judge_positive_definite
from ..core.vertices import kinks_of
from ..linear import AbstractMatrix, problem_matrix
from ..penalties.cones import AbstractCone
from .quadratic_certificate import dependence, independence
from .thresholds import THRESHOLDS


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

    def initial(self) -> ConicPoint:
        """Zeros; the solvers make their own start."""
        return ConicPoint(jnp.zeros_like(self.q), jnp.zeros_like(self.b))

    def present(self, z: ConicPoint) -> tuple[Array, Array]:
        """`x`, and the multiplier `y`."""
        return z.x, self.cone.project(z.v) - z.v + 0.0  # the sum turns -0 into 0

    def slack(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        """`s = b - A x`, with the derivatives of `x`."""
        return self.b - self.A.product(x)

    def data(self) -> tuple[tuple[Any, ...], Layout]:
        """The arrays, `P`, `q`, `A`, `b` and the exponents of power cones, and where the cones are: for the host."""
        return (self.P, self.q, self.A, self.b, exponents_in(self.cone)), layout(self.cone)

    def invalid(self) -> Array:
        """Whether a parameter of the cone (the exponent of a power cone) is outside its domain."""
        return jnp.any(self.cone.invalid())

    def linearise(self, z: ConicPoint, memory: Any = None) -> Linearisation[ConicPoint]:
        """As for every equation, with an inverse on the host that knows the structure."""
        linearisation = super().linearise(z, memory)
        if not known(self.cone):
            return linearisation
        inverse = ConicInverse(self.P, self.A, self.cone, z.v, self.cone.project(z.v))
        return dataclasses.replace(linearisation, inverse=inverse)

    def certificate(self, z: ConicPoint, residual: float, tolerance: float | None) -> Certificate:
        """By enumeration of the kinks, and where that does not decide by a condition that covers every element.

        Let `C` be the rows with `D = 0` in every element (equalities, strongly active bounds), and `N` those with
        `D = I` in every element (bounds that are not active). If `P` is positive definite on `C d = 0`, and the rows of
        `A` outside `N` are independent, no `B = [[P, A^T (D - I)], [A, D]]`, `0 <= D <= I`, is singular: `B (d, e) = 0`
        gives `d^T P d = -e^T D (I - D) e <= 0` and `C d = 0`, so `d = 0`; then `A^T (D - I) e = 0` gives `D e = e`, and
        `A d + D e = 0` gives `D e = 0`.
        """
        n, m = len(z.x), len(z.v)
        if n + m <= THRESHOLDS.unknowns:
            found = super().certificate(z, residual, tolerance)
            if found.verdict == "singular":
                reason = self._dependence(np.asarray(z.v, np.float64), tolerance)
                return found if reason is None else dataclasses.replace(found, reason=reason)
            if found.verdict != "unknown":
                return found
        else:
            count, margin = kinks_of(self, z, kink_tolerance(z.v.dtype) if tolerance is None else tolerance)
            reason = "the program is too large for its elements to be examined, and no sufficient condition holds"
            found = Certificate("unknown", count, margin, 0.0, 0, reason)
        definite, smallest = self._regular_in_every_element(np.asarray(z.v, np.float64), tolerance)
        if not definite:
            return found
        reason = "the objective is strictly convex on the equalities and the constraints that may bind are independent"
        return dataclasses.replace(found, verdict="certified", min_singular_value=smallest, reason=reason)

    def _dependence(self, v: np.ndarray, tolerance: float | None) -> str | None:
        """Which equalities and bounds that are met depend on each other, if any do."""
        where = layout(self.cone)
        rows = np.concatenate([where.zero, where.orthant[v[where.orthant] <= _near(v, tolerance)]])
        smallest, null = independence(self.A.compressed().tocsr()[rows].toarray())
        return None if smallest > 0 else dependence(null, [f"A[{i}]" for i in rows], len(where.zero))

    def _regular_in_every_element(self, v: np.ndarray, tolerance: float | None) -> tuple[bool, float]:
        n, m, near, where = self.q.shape[0], len(v), _near(v, tolerance), layout(self.cone)
        fixed, loose = np.zeros(m, bool), np.zeros(m, bool)
        fixed[where.zero] = True
        fixed[where.orthant], loose[where.orthant] = v[where.orthant] < -near, v[where.orthant] > near
        if n > THRESHOLDS.variables or m - loose.sum() > n:  # more rows than variables are dependent
            return False, 0.0
        A = self.A.compressed().toarray()
        P = np.zeros((n, n)) if self.P is None else self.P.compressed().toarray()
        free = scipy.linalg.null_space(A[fixed]) if fixed.any() else np.eye(n)
        curved, smallest = judge_positive_definite(free.T @ ((P + P.T) / 2) @ free)
        binding = A[~loose]
        independent, least = judge_positive_definite(binding @ binding.T)
        return curved and independent, min(smallest, least)


def _near(v: np.ndarray, tolerance: float | None) -> float:
    near = 1e-9 * (1 + np.abs(v).max(initial=0))
    return near if tolerance is None else max(near, tolerance)


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
        >>> [round(float(x), 4) for x in icg.solve(nearest).value]
        [3.0, 1.8, 2.4]

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
