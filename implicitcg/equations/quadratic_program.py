"""Quadratic programs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import ArrayLike, Bool, Float

from ..base import kink_tolerance
from ..base.checks import floating, matching_dtype, require_finite
from ..core import AbstractProblem, Certificate, Linearisation
from ..linear import KKTFactor, KKTInverse, kkt_factor
from ..nonsmooth import choose, positive_part
from .quadratic_certificate import certify_quadratic_program


class KKT(NamedTuple):
    """The unknown of a QP: the point `x`, the multipliers `y` of the equalities, and `v = slack - multiplier`."""

    x: Float[Array, " n"]
    y: Float[Array, " e"]
    v: Float[Array, " m"]


class QP(AbstractProblem[KKT]):
    """`min 1/2 x^T P x + q^T x` subject to `A x = b`, `G x <= h`; build it with `icg.qp`.

    Slack and multiplier of an inequality are the two parts of one number `v_i`: `s = max(v, 0)`, `z = max(-v, 0)`. The
    optimality system is then the equation

        P x + q + A^T y + G^T (max(v, 0) - v) = 0,   A x - b = 0,   G x + max(v, 0) - h = 0,

    whose kinks `v_i = 0` are the weakly active constraints. Tie rule: such a constraint is inactive.
    """

    P: Float[Array, "n n"]
    q: Float[Array, " n"]
    A: Float[Array, "e n"]
    b: Float[Array, " e"]
    G: Float[Array, "m n"]
    h: Float[Array, " m"]

    def residual(self, z: KKT) -> KKT:
        """The optimality system."""
        slack = positive_part(z.v, tie=1.0)
        stationarity = self.P @ z.x + self.q + self.A.T @ z.y + self.G.T @ (slack - z.v)
        return KKT(stationarity, self.A @ z.x - self.b, self.G @ z.x + slack - self.h)

    def initial(self) -> KKT:
        """Zeros; the interior point method makes its own start."""
        return KKT(jnp.zeros_like(self.q), jnp.zeros_like(self.b), jnp.zeros_like(self.h))

    def present(self, z: KKT) -> tuple[Array, tuple[Array, Array]]:
        """`x`, and the multipliers `(y, z)`."""
        return z.x, (z.y, positive_part(-z.v, tie=0.0) + 0.0)  # the sum turns -0 into 0

    def linearise(self, z: KKT, memory: KKTFactor | None = None) -> Linearisation:
        """The element of the tie rule: `D` is 0 on the constraints that are strongly active, the identity elsewhere.

        With `dz = -dv` on the active rows the equation `B (dx, dy, dv) = rhs` is the reduced system that the solver
        left factorised (`KKTInverse`).
        """
        P, A, G = self.P, self.A, self.G
        here = lax.stop_gradient(self)
        at = lax.stop_gradient(z)
        near = kink_tolerance(z.v.dtype) * (1 + jnp.max(jnp.abs(at.v), initial=0.0))
        v = jnp.where(jnp.abs(at.v) <= near, 0, at.v)
        factor = lax.stop_gradient(here.factorise(v < 0) if memory is None else memory)
        default = 1 - factor.active.astype(v.dtype)
        distance = jnp.where((v < 0) == factor.active, jnp.abs(v), 0)
        weight = choose(default, distance, name="QP") if len(v) else default

        def apply(d: KKT) -> KKT:
            return KKT(P @ d.x + d.y @ A + ((weight - 1) * d.v) @ G, A @ d.x, G @ d.x + weight * d.v)

        def residual(P: Array, q: Array, A: Array, b: Array, G: Array, h: Array) -> KKT:
            return KKT(P @ z.x + q + z.y @ A + ((weight - 1) * z.v) @ G, A @ z.x - b, G @ z.x - h)

        data = (P, self.q, A, self.b, G, self.h)

        def push(tangent: Any) -> KKT:
            given = (tangent.P, tangent.q, tangent.A, tangent.b, tangent.G, tangent.h)
            moved = [i for i, t in enumerate(given) if t is not None]

            def along(*parts: Array) -> KKT:
                filled = list(data)
                for i, part in zip(moved, parts, strict=True):
                    filled[i] = part
                return residual(*filled)

            return jax.jvp(along, tuple(data[i] for i in moved), tuple(given[i] for i in moved))[1]

        return Linearisation(
            apply=apply,
            push=push,
            inverse=KKTInverse(factor, here.P, here.A, here.G, jnp.all(weight == default)),
        )

    def factorise(self, active: Bool[Array, " m"]) -> KKTFactor:
        """The reduced system on a set of active constraints, for points whose solver left no factor."""
        return kkt_factor(self.P, self.A, self.G, active)

    def certificate(self, z: KKT, residual: float, tolerance: float | None) -> Certificate:
        """Exact for any number of kinks: independent active constraints and second-order sufficiency."""
        P, A, G, v = (np.asarray(part) for part in (self.P, self.A, self.G, z.v))
        return certify_quadratic_program(P, A, G, v, residual, tolerance)


def qp(
    P: Float[ArrayLike, "n n"],
    q: Float[ArrayLike, " n"],
    A: Float[ArrayLike, "e n"] | None = None,
    b: Float[ArrayLike, " e"] | None = None,
    G: Float[ArrayLike, "m n"] | None = None,
    h: Float[ArrayLike, " m"] | None = None,
) -> QP:
    """The quadratic program `min_x 1/2 x^T P x + q^T x` subject to `A x = b` and `G x <= h`.

    Args:
        P: symmetric positive semidefinite `(n, n)`; its symmetric part is used.
        q: `(n,)`.
        A: equality constraints `(e, n)` and `b: (e,)`, both or neither.
        b: see `A`.
        G: inequality constraints `(m, n)` and `h: (m,)`, both or neither.
        h: see `G`.

    Returns:
        A problem for `icg.solve`: its value is `x`, its dual `(y, z)` with `P x + q + A^T y + G^T z = 0`, `z >= 0`.

    Raises:
        ValueError: wrong shapes or non-finite data, by name. Infeasible, unbounded and not unique are statuses.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> project = lambda u: icg.solve(icg.qp(jnp.eye(2), -u, G=-jnp.eye(2), h=jnp.zeros(2))).value
        >>> project(jnp.array([1.0, -2.0]))
        Array([1., 0.], dtype=float32)

    Source: Amos, Kolter, OptNet, ICML 2017, for the derivative at strict complementarity; Bolte, Pauwels,
    Silveti-Falls, 2024, for the conservative one.
    """
    given: dict[str, Any] = {"P": P, "q": q, "A": A, "b": b, "G": G, "h": h}
    for matrix, vector in (("A", "b"), ("G", "h")):
        if (given[matrix] is None) != (given[vector] is None):
            raise ValueError(f"{matrix} and {vector} belong together: give both or neither.")
    arrays = {name: floating(value, name) for name, value in given.items() if value is not None}
    arrays = dict(zip(arrays, matching_dtype(*arrays.values()), strict=True))
    n = arrays["q"].shape[0] if arrays["q"].ndim == 1 else -1
    empty = {"A": jnp.zeros((0, n), arrays["q"].dtype), "b": jnp.zeros(0, arrays["q"].dtype)} if n > 0 else {}
    empty |= {"G": empty["A"], "h": empty["b"]} if empty else {}
    data = {**empty, **arrays}
    if n <= 0:
        raise ValueError(f"q has shape {arrays['q'].shape}; a vector of shape (n,) with n > 0 is needed.")
    rows = {"A": data["b"].shape[0] if data["b"].ndim else -1, "G": data["h"].shape[0] if data["h"].ndim else -1}
    for name, shape in {
        "P": (n, n),
        "A": (rows["A"], n),
        "b": (rows["A"],),
        "G": (rows["G"], n),
        "h": (rows["G"],),
    }.items():
        if data[name].shape != shape:
            raise ValueError(f"{name} has shape {data[name].shape}; with q of shape ({n},) it must have shape {shape}.")
    for name, array in data.items():
        require_finite(array, name)
    P = (data["P"] + data["P"].T) / 2
    return QP(P, data["q"], data["A"], data["b"], data["G"], data["h"])
