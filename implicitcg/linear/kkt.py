"""Systems `[[P, A^T, G_S^T], [A, 0, 0], [G_S, 0, 0]]` of a quadratic program on a set `S` of active constraints.

Any multiple of `A^T A` (and of `G_S^T G_S`) may be added to `P`: on the solutions of `A x = a` it is a known vector. So
let `K = P + s A^T A = L L^T`, positive definite wherever `P` is on the null space of `A`. In the unknown `L^T x` the
equality constraints are a projector, and what is left is `H z = right side` with the Gram matrix `H = V^T V` of the
projected columns of `L^{-1} G^T`, one row and column an inequality. A change of `S` changes only which part of `H` is
factored.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float

from ..base import only_where


class Eliminated(eqx.Module):
    """`L` with `K = L L^T`, and `L^{-1} A^T = U^T R^T` with orthonormal rows `U` and `R` lower triangular.

    `added` is the multiple of `A^T A` in `K`. `definite` says that `K` is positive definite and `independent` that `A`
    is of full rank, each judged by its pivots relative to its diagonal.
    """

    L: Float[Array, "n n"]
    U: Float[Array, "e n"]
    R: Float[Array, "e e"]
    added: Float[Array, ""]
    definite: Bool[Array, ""]
    independent: Bool[Array, ""]

    def into(self, v: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
        """`L^{-1} v`."""
        return solve_triangular(self.L, v, lower=True)

    def out(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        """`L^{-T} v`."""
        return solve_triangular(self.L, v, lower=True, trans=1)

    def project(self, v: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
        """The part of `v` that the equality constraints leave free."""
        return v - self.U.T @ (self.U @ v) if len(self.U) else v


def eliminate(P: Float[Array, "n n"], A: Float[Array, "e n"]) -> Eliminated:
    """Factor `K = P + s A^T A` and the equality constraints, with `s` such that both terms are of one size."""
    e = len(A)
    zero = jnp.zeros((), P.dtype)
    if e == 0:
        L, definite = cholesky(P)
        return Eliminated(L, A, jnp.zeros((0, 0), P.dtype), zero, definite, jnp.ones_like(definite))
    square = jnp.sum(A * A)
    size = jnp.trace(P)
    added = jnp.where((size > 0) & (square > 0), size, 1) / jnp.where(square > 0, square, 1)
    L, definite = cholesky(P + added * (A.T @ A))
    B = solve_triangular(L, A.T, lower=True)
    # a ridge at rounding, with which dependent rows share their multipliers: the solution may exist all the same
    R, independent = cholesky(principal(B.T @ B, jnp.ones(e, bool), 20 * float(jnp.finfo(P.dtype).eps)))
    return Eliminated(L, solve_triangular(R, B.T, lower=True), R, added, definite, independent)


class KKTFactor(eqx.Module):
    """The system factored on the inequalities `active`: `C C^T = H` on them, the identity elsewhere.

    `added` is the multiple of `G_S^T G_S` in `K`. `healthy` says that the system is invertible to working precision,
    but for equalities that depend on each other, which share their multiplier: see `consistent`.
    """

    space: Eliminated
    active: Bool[Array, " m"]
    C: Float[Array, "m m"]
    added: Float[Array, ""]
    healthy: Bool[Array, ""]

    def solve(
        self, G: Float[Array, "m n"], r: Float[Array, " n"], a: Float[Array, " e"], g: Float[Array, " m"]
    ) -> tuple[Float[Array, " n"], Float[Array, " e"], Float[Array, " m"]]:
        """`(x, y, z)` with `P x + A^T y + G^T z = r`, `A x = a`, and `(G x)_i = g_i` if active, else `z_i = 0`."""
        space, m = self.space, len(self.active)
        c = space.into(r)
        t, along, w = c, c[:0], c[:0]
        if len(a):
            w = solve_triangular(space.R, a, lower=True)
            along = space.U @ c
            t = c + space.U.T @ (w - along)
        x, z = space.out(t), jnp.zeros_like(g)
        if m:
            g = jnp.where(self.active, g, 0)
            miss = jnp.where(self.active, G @ x - g, 0)
            half = solve_triangular(self.C, miss, lower=True)
            z = solve_triangular(self.C, half, lower=True, trans=1)
            pull = space.into(z @ G)
            along = along - space.U @ pull if len(a) else along
            x = space.out(t - space.project(pull))
            z = z + self.added * g
        y = solve_triangular(space.R, along - w, lower=True, trans=1) + space.added * a if len(a) else a
        return x, y, z

    def consistent(self, A: Float[Array, "e n"], a: Float[Array, " e"], x: Float[Array, " n"]) -> Bool[Array, ""]:
        """Whether `A x = a` is met by the `x` of `solve`: with dependent equalities it may have no solution.

        To `sqrt(eps)` of its terms; what is not consistent misses by about its own size.
        """
        small = float(jnp.finfo(x.dtype).eps) ** 0.5
        terms = jnp.max(jnp.abs(a), initial=0.0) + jnp.max(jnp.abs(A * x[None, :]), initial=0.0)
        return self.space.independent | (jnp.max(jnp.abs(A @ x - a), initial=0.0) <= small * terms)

    def refined(
        self,
        P: Float[Array, "n n"],
        A: Float[Array, "e n"],
        G: Float[Array, "m n"],
        rhs: tuple[Float[Array, " n"], Float[Array, " e"], Float[Array, " m"]],
        enough: float = 0.0,
    ) -> tuple[Float[Array, " n"], Float[Array, " e"], Float[Array, " m"]]:
        """`solve`, then one step of iterative refinement with the matrices themselves.

        Unless the residual is within `enough` of the largest entries of right side and solution already.
        """
        r, a, g = rhs
        x, y, z = self.solve(G, r, a, g)
        left = r - (P @ x + y @ A + z @ G), a - A @ x, jnp.where(self.active, g - G @ x, 0)

        def once_more() -> tuple[Array, Array, Array]:
            dx, dy, dz = self.solve(G, *left)
            return x + dx, y + dy, z + dz

        if enough == 0.0:
            return once_more()
        close = _largest(*left) <= enough * (_largest(r, a, jnp.where(self.active, g, 0)) + _largest(x, y, z))
        return only_where(~close, once_more, (x, y, z))


def _largest(*vectors: Array) -> Float[Array, ""]:
    return jnp.max(jnp.abs(jnp.concatenate(vectors)))


def gram(space: Eliminated, G: Float[Array, "m n"]) -> tuple[Float[Array, "m m"], Float[Array, " m"]]:
    """`H = V^T V`, and the squared lengths of the columns of `L^{-1} G^T` before they are projected."""
    raw = space.into(G.T)
    V = space.project(raw)
    return V.T @ V, jnp.sum(raw * raw, axis=0)


def kkt_factor(
    P: Float[Array, "n n"], A: Float[Array, "e n"], G: Float[Array, "m n"], active: Bool[Array, " m"]
) -> KKTFactor:
    """The system on `active`, with `K = P + s A^T A + t G_S^T G_S`: definite wherever the system is invertible."""
    size, square = jnp.trace(P), jnp.sum(G * G)
    added = jnp.where((size > 0) & (square > 0), size, 1) / jnp.where(square > 0, square, 1)
    held = jnp.where(active[:, None], G, 0)
    space = eliminate(P + added * (held.T @ held), A)
    H, _ = gram(space, G)
    if len(active) == 0:
        return KKTFactor(space, active, H, added, space.definite)
    C, healthy = cholesky(principal(H, active))
    return KKTFactor(space, active, C, added, space.definite & healthy)


def cholesky(matrix: Float[Array, "k k"]) -> tuple[Float[Array, "k k"], Bool[Array, ""]]:
    """The factor, and whether `matrix` is positive definite beyond rounding."""
    L = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    return L, regular(L, jnp.diagonal(matrix))


def regular(L: Float[Array, "k k"], diagonal: Float[Array, " k"]) -> Bool[Array, ""]:
    """Whether every pivot is above rounding, relative to its diagonal entry.

    `L_jj^2 / K_jj` is `1 - R^2` of row `j` on those before it, a number without units that is 0 where they are
    dependent.
    """
    pivots = jnp.square(jnp.diagonal(L)) / jnp.where(diagonal > 0, diagonal, 1)
    return jnp.all(pivots > negligible(len(L), L.dtype))  # NaN compares False


def negligible(order: int, dtype: Any) -> float:
    """What rounding makes of a pivot or eigenvalue 0 of a matrix of this order and unit diagonal."""
    return 10 * max(order, 5) * float(jnp.finfo(dtype).eps)


def principal(H: Float[Array, "m m"], active: Bool[Array, " m"], ridge: float = 0.0) -> Float[Array, "m m"]:
    """`H` on the rows and columns `active`, the identity elsewhere; the diagonal is raised by `ridge` of itself."""
    both = active[:, None] & active[None, :]
    m = len(active)
    diagonal = jnp.arange(m)
    masked = jnp.where(both, H, 0)
    raised = jnp.where(active, jnp.diagonal(H) * (1 + ridge), 1)
    return masked.at[diagonal, diagonal].set(raised)
