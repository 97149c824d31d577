"""The tableau of a symmetric matrix swept on an active set, in product form.

Sweeping a positive definite `G` on a set `A` gives the symmetric

    T_AA = -G_AA^{-1},   T_BA = G_BA G_AA^{-1},   T_BB = G_BB - G_BA G_AA^{-1} G_AB,

which holds all that an active-set method asks: how the active variables move, how the others' correlations follow, and
as diagonal of `T_BB` what is left of a column beside the active ones. To sweep one more variable, or to take one back,
is one symmetric rank-one change and one diagonal entry:

    T' = T - u u^T / d - 2 e_k e_k^T,  u = T_:k + (d - 1 - T_kk) e_k      to enter (`d = T_kk`),
    T' = T - u u^T / d + 2 e_k e_k^T,  u = T_:k + (d + 1 - T_kk) e_k      to leave.

So `T = G - U^T D U + diag` with one row of `U` a change: nothing of size `G` is ever rewritten, and a column costs one
product with the rows used so far.

Source: Goodnight, A tutorial on the SWEEP operator, The American Statistician 1979.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float, Int

from ...base import fori_loop
from ...linear.factorisation import ordered_index
from .thresholds import THRESHOLDS

BLOCK = THRESHOLDS.block


class Tableau(NamedTuple):
    """`T = G - U^T diag(inverse) U + diag(diagonal)`, with the first `used` of the `e` rows of `U` filled."""

    rows: Float[Array, "e c"]
    inverse: Float[Array, " e"]
    variable: Int[Array, " e"]
    used: Int[Array, ""]
    diagonal: Float[Array, " c"]

    @classmethod
    def swept(cls, gram: Float[Array, "c c"], active: Bool[Array, " c"], *, room: int, capacity: int) -> Tableau:
        """The tableau of `gram` swept on `active`, at most `room` variables, with `capacity` rows.

        With `L L^T = G_AA`, its rows are `diag(L) L^{-1} (G_A - I_A)`.
        """
        # Sweeping the active variables one after the other eliminates them in this order, and so does Cholesky: row `e`
        # of `U` is what is left of `G` at pivot `e`, with the pivot less one on the diagonal. So the whole product form
        # of a set is one factor and one triangular solve, and not one change after another.
        size, dtype = gram.shape[0], gram.dtype
        index = ordered_index(active, jnp.zeros_like(active), room)
        count = jnp.minimum(active.sum(), room).astype(jnp.int32)
        inside = jnp.arange(room, dtype=jnp.int32) < count
        part = jnp.where(inside[:, None], gram[index], 0)
        block = jnp.where(inside[None, :], part[:, index], 0) + jnp.diag(jnp.where(inside, 0, 1).astype(dtype))
        cholesky = jnp.linalg.cholesky(block, symmetrize_input=False)
        identity = (index[:, None] == jnp.arange(size, dtype=jnp.int32)[None, :]) & inside[:, None]
        pivots = jnp.where(inside, jnp.diagonal(cholesky), 1)
        rows = solve_triangular(cholesky, part - identity.astype(dtype), lower=True) * pivots[:, None]
        spare = capacity - room
        return cls(
            jnp.pad(rows, ((0, spare), (0, 0))),
            jnp.pad(jnp.where(inside, 1 / jnp.square(pivots), 0), (0, spare)),
            jnp.pad(index, (0, spare)),
            count,
            jnp.where(active, -2, 0).astype(dtype),
        )

    def column(
        self, gram: Float[Array, "c c"], k: Int[Array, ""], count: Int[Array, ""]
    ) -> tuple[Float[Array, " c"], Float[Array, ""]]:
        """`T_:k` but for its entry `k`, which still lacks the diagonal, and the entry `T_kk`.

        Only the first `count` columns of `gram` are not zero.
        """
        column = gram[k] - self._combined(self.rows[:, k] * self.inverse, count)
        return column, column[k] + self.diagonal[k]

    def _combined(self, weights: Float[Array, " e"], count: Int[Array, ""]) -> Float[Array, " c"]:
        """`weights @ U`; of many rows only those in use, and of them only the first `count` columns.

        A few rows at a time, on a piece of them that stays in the cache: larger blocks would be copied first.
        """
        e, c = self.rows.shape
        if e <= THRESHOLDS.few_rows:
            return weights @ self.rows
        width = min(c, THRESHOLDS.width)
        turns = (self.used + THRESHOLDS.combined - 1) // THRESHOLDS.combined

        def piece(j: Array, combined: Array) -> Array:
            first = jnp.minimum(j * width, c - width)

            def add(i: Array, total: Array) -> Array:
                start = i * THRESHOLDS.combined
                own = lax.dynamic_slice(weights, (start,), (THRESHOLDS.combined,))
                rows = lax.dynamic_slice(self.rows, (start, first), (THRESHOLDS.combined, width))
                for k in range(THRESHOLDS.combined):
                    total = total + own[k] * rows[k]
                return total

            total = fori_loop(jnp.zeros_like(turns), turns, add, jnp.zeros(width, weights.dtype))
            return lax.dynamic_update_slice(combined, total, (first,))

        pieces = (count + width - 1) // width
        return fori_loop(jnp.zeros_like(pieces), pieces, piece, jnp.zeros(c, weights.dtype))

    def product(self, gram: Float[Array, "c c"], v: Float[Array, " c"]) -> Float[Array, " c"]:
        """`T v`; of very many rows only those in use, and of `gram` only those before the last entry of `v`."""
        e, c = self.rows.shape
        if e <= THRESHOLDS.many_rows:
            return gram @ v - (self.inverse * (self.rows @ v)) @ self.rows + self.diagonal * v
        last = jnp.max(jnp.where(v != 0, jnp.arange(1, c + 1, dtype=jnp.int32), 0))

        def piece(values: Array, i: Array) -> Array:
            start = jnp.minimum(i * BLOCK, len(values) - BLOCK)
            return lax.dynamic_slice(
                values, (start, *[jnp.zeros_like(i)] * (values.ndim - 1)), (BLOCK, *values.shape[1:])
            )

        def swept(i: Array, total: Array) -> Array:  # `e` is a multiple of `BLOCK`
            rows = piece(self.rows, i)
            return total - (piece(self.inverse, i) * (rows @ v)) @ rows

        def plain(i: Array, total: Array) -> Array:
            again = piece(jnp.arange(c, dtype=jnp.int32), i) < i * BLOCK
            return total + jnp.where(again, 0, piece(v, i)) @ piece(gram, i)

        total = fori_loop(jnp.zeros_like(self.used), (self.used + BLOCK - 1) // BLOCK, swept, self.diagonal * v)
        return fori_loop(jnp.zeros_like(last), (last + BLOCK - 1) // BLOCK, plain, total)

    def sweep(
        self,
        k: Int[Array, ""],
        column: Float[Array, " c"],
        pivot: Float[Array, ""],
        leaving: Bool[Array, ""],
        when: Bool[Array, ""],
    ) -> Tableau:
        """Swept on `k`, or back; unchanged unless `when`."""
        # A change that is not wanted writes the row that is there and does not count it: a branch would copy the whole
        # tableau in a batch. A row behind those in use has the weight zero, so what it holds does not matter.
        turn = jnp.where(leaving, 1, -1).astype(column.dtype)
        row = column.at[k].set(pivot + turn)
        at = self.used
        return Tableau(
            self.rows.at[at].set(jnp.where(when, row, self.rows[at])),
            self.inverse.at[at].set(jnp.where(when, 1 / pivot, 0)),
            self.variable.at[at].set(k),
            at + when.astype(jnp.int32),
            self.diagonal.at[k].add(jnp.where(when, 2 * turn, 0)),
        )

    def unless(self, undone: Bool[Array, ""], swept: Tableau) -> Tableau:
        """`swept`, which was swept on from here, or this one where that is `undone`. Rows not used do not matter."""
        inverse = jnp.where(undone & (jnp.arange(len(self.inverse), dtype=jnp.int32) >= self.used), 0, swept.inverse)
        return swept._replace(
            inverse=inverse,
            used=jnp.where(undone, self.used, swept.used),
            diagonal=jnp.where(undone, self.diagonal, swept.diagonal),
        )

    def extend(self, cross: Float[Array, "c k"], at: Int[Array, ""]) -> Tableau:
        """With `k` new variables at `at`, whose block with all variables is `cross = G_:new`.

        Row by row `U_e,new = G_{k_e},new - sum_{i < e} D_i U_i,{k_e} U_i,new`: a triangular system, by blocks.
        """
        used = jnp.arange(len(self.inverse), dtype=jnp.int32) < self.used
        new = _forward_substitution(self, jnp.where(used[:, None], cross[self.variable], 0))
        return self._replace(rows=lax.dynamic_update_slice(self.rows, new, (jnp.zeros_like(at), at)))


def _forward_substitution(tableau: Tableau, right: Float[Array, "e k"]) -> Float[Array, "e k"]:
    """`(I + M)^{-1} right` with the strict lower triangle `M_{e,i} = D_i U_i,{k_e}`, by blocks of the rows in use."""
    # A new variable has seen no sweep yet. Its entries in the rows depend on each other, each on those before, which is
    # a triangular system; by blocks it is a few large products instead of one small step a row.
    e, k = right.shape
    spare = -e % BLOCK
    rows = jnp.pad(tableau.rows, ((0, spare), (0, 0)))
    inverse = jnp.pad(tableau.inverse, (0, spare))
    variable = jnp.pad(tableau.variable, (0, spare))
    right = jnp.pad(right, ((0, spare), (0, 0)))
    blocks = (tableau.used + BLOCK - 1) // BLOCK

    def piece(right: Array, i: Array) -> Array:
        return lax.dynamic_slice(right, (i * BLOCK, jnp.zeros_like(i)), (BLOCK, k))

    def block(i: Array, right: Array) -> Array:
        start, zero = i * BLOCK, jnp.zeros_like(i)
        own = lax.dynamic_slice(inverse, (start,), (BLOCK,))[:, None]
        across = own * lax.dynamic_slice(rows, (start, zero), (BLOCK, rows.shape[1]))[:, variable]
        corner = lax.dynamic_slice(across, (zero, start), (BLOCK, BLOCK))
        solved = solve_triangular(corner, piece(right, i), trans=1, unit_diagonal=True)

        def below(j: Array, right: Array) -> Array:
            there, origin = j * BLOCK, jnp.zeros_like(j)
            part = lax.dynamic_slice(across, (origin, there), (BLOCK, BLOCK)).T @ solved
            return lax.dynamic_update_slice(right, piece(right, j) - part, (there, origin))

        return fori_loop(i + 1, blocks, below, lax.dynamic_update_slice(right, solved, (start, zero)))

    return fori_loop(jnp.zeros_like(blocks), blocks, block, right)[:e]
