"""A Cholesky factor on an ordered set of coordinates, made once and reused by every derivative.

Let `K` be the symmetric Hessian of an optimality system, `inner` the coordinates that are free at the solution and
`rim` those that sit exactly on a kink (both branches possible). Ordering the coordinates `[inner, rim]` makes one
factor answer two questions: its leading block factors `K[inner, inner]`, which is the derivative of the default
selection, and its pivots say whether `K[inner + rim, inner + rim]` is positive definite, hence whether *every*
selection is invertible (`det K_S > 0` for every `inner <= S <= inner + rim`, since principal submatrices of a positive
definite matrix are positive definite).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Bool, Float, Int

from .thresholds import THRESHOLDS


class FaceFactor(eqx.Module):
    """`cholesky` of `K[index, index]` with the coordinates ordered inner, rim, padding (`c` = capacity)."""

    index: Int[Array, " c"]
    cholesky: Float[Array, "c c"]
    inner: Int[Array, ""]
    outer: Int[Array, ""]
    healthy: Bool[Array, ""]

    def solve(self, rhs: Float[Array, " p"]) -> Float[Array, " p"]:
        """`x` with `K_II x_I = rhs_I` on the inner coordinates `I`, and `x = 0` elsewhere."""
        position = jnp.arange(self.index.shape[0])
        inside = position < self.inner
        both = inside[:, None] & inside[None, :]
        leading = jnp.where(both, self.cholesky, jnp.eye(len(position), dtype=self.cholesky.dtype))
        reduced = cho_solve((leading, True), jnp.where(inside, rhs[self.index], 0))
        return jnp.zeros_like(rhs).at[jnp.where(inside, self.index, rhs.shape[0])].set(reduced, mode="drop")


class BucketedFactor(eqx.Module):
    """One `FaceFactor` out of several static capacities: only `factors[bucket]` is filled.

    A factor of a capacity above `kept` is not stored, since the room for it costs time even where it stays empty.
    """

    bucket: Int[Array, ""]
    factors: tuple[FaceFactor, ...]
    fits: Bool[Array, ""]
    healthy: Bool[Array, ""]

    @property
    def kept(self) -> Bool[Array, ""]:
        """Whether the factor is here; else it has to be made again."""
        return self.bucket < len(self.factors)

    def solve(self, rhs: Float[Array, " p"]) -> Float[Array, " p"]:
        """As `FaceFactor.solve`, with the filled factor, if it is `kept`."""
        if len(self.factors) == 1:
            return self.factors[0].solve(rhs)
        return lax.switch(self.bucket, [(lambda b, f=factor: f.solve(b)) for factor in self.factors], rhs)


def ordered_index(inner: Bool[Array, " p"], rim: Bool[Array, " p"], capacity: int) -> Int[Array, " c"]:
    """The first `capacity` coordinates in the order inner, rim; the places left over hold 0."""
    # the largest of 2, 1, 0 with ties in ascending order; a sum over prefixes compiles to ten times as many kernels
    rank, index = lax.top_k(inner.astype(jnp.float32) + (inner | rim).astype(jnp.float32), min(capacity, len(inner)))
    index = jnp.where(rank > 0, index, 0).astype(jnp.int32)
    return jnp.pad(index, (0, capacity - len(index)))


def factorise(
    block: Callable[[Int[Array, " c"]], Float[Array, "c c"]],
    inner: Bool[Array, " p"],
    rim: Bool[Array, " p"],
    capacity: int,
) -> FaceFactor:
    """Factor `K` on `[inner, rim]`, given `block(index) = K[index][:, index]`.

    A pivot is judged against its own diagonal entry: `L_jj^2 / K_jj` is `1 - R^2` of column `j` on the columns before
    it, a scale-free number that is 0 exactly when they are dependent. It counts as zero below `10 c eps`, the size of
    rounding in a factorisation of order `c`.
    """
    index = ordered_index(inner, rim, capacity)
    n_inner, n_outer = inner.sum(), (inner | rim).sum()
    inside = jnp.arange(capacity) < n_outer
    both = inside[:, None] & inside[None, :]
    matrix = block(index)
    matrix = jnp.where(both, matrix, jnp.eye(capacity, dtype=matrix.dtype))
    cholesky = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    diagonal = jnp.diagonal(matrix)
    pivots = jnp.square(jnp.diagonal(cholesky)) / jnp.where(diagonal > 0, diagonal, 1)
    threshold = 10 * capacity * jnp.finfo(matrix.dtype).eps
    healthy = jnp.all(pivots > threshold) & (n_outer <= capacity)  # NaN pivots compare False
    return FaceFactor(index, cholesky, n_inner, n_outer, healthy)


def bucketed_factorise(
    block: Callable[[Int[Array, " c"]], Float[Array, "c c"]],
    inner: Bool[Array, " p"],
    rim: Bool[Array, " p"],
    capacities: Sequence[int],
    right: Float[Array, " p"],
    rank: int,
) -> tuple[BucketedFactor, Float[Array, " p"]]:
    """`factorise` at the smallest of the static `capacities` that holds `inner + rim`, and the solution for `right`.

    More than `rank` coordinates are dependent: what is too large for a capacity of `rank` does not lack room.
    """
    needed = (inner | rim).sum()
    limits = jnp.asarray(capacities)
    bucket = jnp.minimum((limits < needed).sum(), len(capacities) - 1)
    room = needed <= limits[-1]
    fits = jnp.ones_like(room) if max(capacities) >= rank else room
    dtype = right.dtype
    kept = [c for c in capacities if c <= THRESHOLDS.kept]
    if len(capacities) == 1:
        factor = factorise(block, inner, rim, capacities[0])
        return BucketedFactor(bucket, (factor,), fits, fits & factor.healthy), factor.solve(right)

    def empty(capacity: int) -> FaceFactor:
        zero = jnp.zeros((), inner.sum().dtype)
        index = jnp.zeros(capacity, jnp.int32)
        return FaceFactor(index, jnp.zeros((capacity, capacity), dtype), zero, zero, jnp.asarray(False))

    def passing(capacity: int) -> tuple[Bool[Array, ""], Float[Array, " p"]]:
        factor = factorise(block, inner, rim, capacity)
        return factor.healthy, factor.solve(right)

    factors = tuple(
        lax.cond(
            (bucket == i) & room,  # what does not fit is not begun
            lambda c=capacity: factorise(block, inner, rim, c),
            lambda c=capacity: empty(c),
        )
        for i, capacity in enumerate(kept)
    )
    stored = [(lambda f=factor: (f.healthy, f.solve(right))) for factor in factors]
    passed = [(lambda c=capacity: passing(c)) for capacity in capacities[len(kept) :]]
    nothing = [lambda: (jnp.zeros_like(room), jnp.full_like(right, jnp.nan))]
    which = jnp.where(room, bucket, len(capacities))
    healthy, solution = lax.switch(which, stored + passed + nothing)
    return BucketedFactor(bucket, factors, fits, fits & healthy), solution
