"""The transport polytope, and the doubly stochastic matrices of Birkhoff."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Float

from ...base import while_loop
from ...nonsmooth.choice import choose
from ..closed_form import closed_form
from ..domain import require
from .set import AbstractSet
from .simplex import on_simplex

LARGEST_GRAPH = 2000  # rows and columns together: the systems solved have this order


class Transport(AbstractSet):
    """The matrices `{P >= 0, P 1 = row_sums, P^T 1 = column_sums}`; the sums are nonnegative with equal totals.

    `P = max(M + f 1^T + 1 g^T, 0)` with multipliers `f`, `g` of the sums. For given `g` each row is a projection on a
    simplex, which gives `f`; what is left is a concave, piecewise quadratic function of `g`, maximised by a damped
    semismooth Newton method to rounding: exact, no entropy. On the support the derivative solves a Laplace equation on
    the bipartite graph of rows and columns.

    Tie rule: an entry that reaches zero is zero. Where the support falls into several parts, as at a permutation, the
    multipliers are not unique; they are moved to a point where entries with zero multiplier join the parts, so that
    the derivative in the sums exists (and the one in `M` is unchanged).

    A matrix is projected as a whole: `project` takes `(*batch, m, n)`. Cost: `O((m + n)^3)` a Newton step, ten to
    thirty steps; `m + n <= 2000`.
    """

    row_sums: Float[Array, "*batch m"]
    column_sums: Float[Array, "*batch n"]

    def project(self, x: Float[Array, "*batch m n"]) -> Float[Array, "*batch m n"]:
        return transport_projection(x, self.row_sums, self.column_sums)

    def value(self, z: Float[Array, "m n"]) -> Float[Array, ""]:
        """0 on the polytope, judged up to `eps^{3/4}` of the largest sum, and infinity elsewhere."""
        rows, columns = jnp.asarray(self.row_sums, z.dtype), jnp.asarray(self.column_sums, z.dtype)
        room = float(jnp.finfo(z.dtype).eps) ** 0.75 * jnp.max(rows, initial=0.0)
        off = jnp.concatenate([jnp.abs(z.sum(1) - rows), jnp.abs(z.sum(0) - columns), -z.reshape(-1)])
        return jnp.where(jnp.max(off, initial=0.0) <= room, 0, jnp.inf).astype(z.dtype)

    def invalid(self) -> Array:
        return jnp.any(self.row_sums < 0) | jnp.any(self.column_sums < 0)


class Birkhoff(AbstractSet):
    """The doubly stochastic matrices `{P >= 0, P 1 = 1, P^T 1 = 1}`; see `Transport`, of which it is the square case.

    >>> import jax.numpy as jnp
    >>> Birkhoff().project(jnp.array([[1.0, 0.0], [0.0, 0.0]])).tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """

    def project(self, x: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
        ones = jnp.ones(x.shape[-1], x.dtype)
        return transport_projection(x, ones, ones)


def transport_projection(M: Array, row_sums: Any, column_sums: Any) -> Array:
    """The projection of `M` (or of every matrix of a batch), with an error where the search does not end."""
    m, n = M.shape[-2:]
    if m + n > LARGEST_GRAPH:
        raise ValueError(
            f"M has shape {M.shape}; the exact projection solves dense systems of order rows + columns and is limited "
            f"to {LARGEST_GRAPH}. Project blocks, or use an entropic solver where an approximation will do."
        )
    if m == 0 or n == 0:
        return M
    batch = M.shape[:-2]
    rows = jnp.broadcast_to(jnp.asarray(row_sums, M.dtype), (*batch, m)).reshape(-1, m)
    columns = jnp.broadcast_to(jnp.asarray(column_sums, M.dtype), (*batch, n)).reshape(-1, n)
    P, _, _ = jnp.vectorize(_projection, signature="(m,n),(m),(n)->(m,n),(m),(n)")(M.reshape(-1, m, n), rows, columns)
    return P.reshape(M.shape)


def _value(M: Array, rows: Array, columns: Array) -> tuple[Array, Array, Array]:
    """`P`, `f` and `g`."""
    m, n = M.shape
    epsilon = float(jnp.finfo(M.dtype).eps)
    mass = jnp.maximum(jnp.max(rows), jnp.max(columns))
    width = jnp.max(M) - jnp.min(M) + mass  # multipliers move by no more than this between entries

    def best_rows(g: Array) -> tuple[Array, Array, Array]:
        """`P`, the column sums that are missing, and the concave objective."""
        shifted = M + g[None, :]
        P = on_simplex(shifted, rows[:, None])
        f = jnp.max(P, 1) - jnp.max(shifted, 1)
        return P, columns - P.sum(0), rows @ f + columns @ g - jnp.sum(P * P) / 2

    def unfinished(state: tuple) -> Array:
        _, _, missing, _, _, count = state
        return (jnp.max(jnp.abs(missing)) > tolerance) & (count < 500)

    # rounding of the sums, and of entries that are differences of numbers as large as the width
    tolerance = 4 * epsilon * ((m + n) * mass + width)

    def advance(state: tuple) -> tuple:
        g, P, missing, height, damping, count = state
        support = (P > 0).astype(M.dtype)
        per_row = jnp.maximum(support.sum(1), 1)
        laplacian = jnp.diag(support.sum(0)) - support.T @ (support / per_row[:, None])
        # the imbalance of a part of the support that hangs together is undone by a shift of at most about the width
        ridge = damping * jnp.max(jnp.abs(missing)) / width + 4 * epsilon * m
        step = cho_solve(cho_factor(laplacian + ridge * jnp.eye(n, dtype=M.dtype)), missing)
        slope = missing @ step
        size = jnp.max(jnp.abs(missing))

        def poor(trial: tuple) -> Array:
            t, _, _, lacking, reached = trial
            gained = (reached >= height + 1e-4 * t * slope) | (jnp.max(jnp.abs(lacking)) <= size / 2)
            return ~gained & (t > 1e-12)

        def shorter(trial: tuple) -> tuple:
            t = trial[0] / 4
            return t, g + t * step, *best_rows(g + t * step)

        one = jnp.ones((), M.dtype)
        t, g, P, missing, height = while_loop(poor, shorter, (one, g + step, *best_rows(g + step)))
        damping = jnp.clip(jnp.where(t == 1, damping / 4, damping * 2), 1e-6, 1e6)
        return g - jnp.mean(g), P, missing, height, damping, count + 1

    zero = jnp.zeros_like(columns)
    start = (zero, *best_rows(zero), jnp.ones((), M.dtype), jnp.zeros((), jnp.int32))
    g, P, missing, _, _, _ = while_loop(unfinished, advance, start)
    failed = ~(jnp.max(jnp.abs(missing)) <= 1e3 * tolerance) & jnp.all(jnp.isfinite(M))
    P = require(
        P,
        lambda _, failed: ~failed,
        "The projection on the transport polytope did not reach its sums. Check that the entries of M are not larger "
        "than the sums by more than the precision resolves, or use float64.",
        failed,
    )
    f = jnp.max(P, 1) - jnp.max(M + g[None, :], 1)
    return P, f, g


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple[Array, Array, Array]:
    (M, _, _), (dM, drows, dcolumns) = primals, tangents
    P, f, g = lax.stop_gradient(result)
    m, n = M.shape
    M_here = lax.stop_gradient(M)
    slack = -(M_here + f[:, None] + g[None, :])
    # what rounding leaves of a tie is a tie
    noise = 8 * float(jnp.finfo(M.dtype).eps) * (jnp.abs(M_here) + jnp.abs(f)[:, None] + jnp.abs(g)[None, :])
    distance = jnp.abs(slack)
    weight = choose((noise < P).astype(M.dtype), jnp.where(distance <= noise, 0, distance), name="transport")
    weight = _joined(weight, jnp.maximum(slack, 0))
    block = jnp.concatenate(
        [
            jnp.concatenate([jnp.diag(weight.sum(1)), weight], 1),
            jnp.concatenate([weight.T, jnp.diag(weight.sum(0))], 1),
        ]
    )
    # f and g are known up to a constant that one gains and the other loses: the null vector of a joined support
    still = jnp.concatenate([jnp.ones(m, M.dtype), -jnp.ones(n, M.dtype)]) / jnp.sqrt(jnp.asarray(m + n, M.dtype))
    factor = cho_factor(block + still[:, None] * still[None, :])
    moved = weight * dM
    total = (jnp.sum(drows) - jnp.sum(dcolumns)) / (m + n)  # sums move with equal totals: what differs is left out
    right = jnp.concatenate([drows - total - moved.sum(1), dcolumns + total - moved.sum(0)])
    d = cho_solve(factor, right)
    df, dg = d[:m], d[m:]
    return moved + weight * (df[:, None] + dg[None, :]), df, dg


def _joined(weight: Array, slack: Array) -> Array:
    """The support with entries of weight one added until rows and columns hang together, those of least slack first.

    From a part that hangs together, the multipliers of all the rest are shifted until one entry between a column of
    the part and a row of the rest has multiplier zero. That entry may become positive when the sums change; as a bridge
    between two parts it carries nothing when only `M` does. Empty columns are joined to their nearest row.
    """
    m, n = weight.shape
    nearest = slack == jnp.min(slack, 0, keepdims=True)
    empty = ~jnp.any(weight > 0, 0, keepdims=True)
    first = nearest & (jnp.cumsum(nearest, 0) == 1)
    weight = jnp.where(empty & first, 1, weight)

    def apart(state: tuple) -> Array:
        _, _, rows, columns, rounds = state
        return ~(jnp.all(rows) & jnp.all(columns)) & (rounds < 2 * (m + n))  # never more, but for NaN

    def join(state: tuple) -> tuple:
        weight, slack, rows, columns, rounds = state
        linked = weight > 0
        more_rows = rows | jnp.any(linked & columns[None, :], 1)
        more_columns = columns | jnp.any(linked & more_rows[:, None], 0)
        grown = jnp.any(more_rows != rows) | jnp.any(more_columns != columns)
        inward, outward = ~rows[:, None] & columns[None, :], rows[:, None] & ~columns[None, :]
        between = jnp.where(inward, slack, jnp.inf).reshape(-1)
        bridge = (jnp.arange(m * n) == jnp.argmin(between)).reshape(m, n) & ~grown
        shift = jnp.where(grown, 0, jnp.min(between))
        slack = jnp.where(inward, slack - shift, jnp.where(outward, slack + shift, slack))
        return jnp.where(bridge, 1, weight), slack, more_rows, more_columns, rounds + 1

    start = (weight, slack, jnp.zeros(m, bool), jnp.arange(n) == 0, jnp.zeros((), jnp.int32))
    return while_loop(apart, join, start)[0]


_projection = closed_form(_value, _tangent)
