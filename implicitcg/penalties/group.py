"""The group penalty: a weighted sum of Euclidean norms of disjoint groups of coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int, Shaped

from ..base import kink_tolerance
from .penalty import AbstractBlocks, Branches


class GroupL2(AbstractBlocks):
    """`g(z) = sum_g t_g ||z_g||` with `t = alpha weight`, and `prox(u)_g = max(1 - step t_g / ||u_g||, 0) u_g`.

    Kinks lie at `||u_g|| = step t_g`: one per group, however large. There Clarke's Jacobian of the prox is the segment
    from 0 to `n n^T`, `n = u_g / ||u_g||`: a group enters along `n` only, since the prox bends infinitely across it.
    Tie rule: a group on its kink is fixed at 0, the smallest active set, up to rounding as for `L1`.

    Args:
        alpha: strength, a scalar or one per group.
        labels: the group of each coordinate, integers from 0 to one less than the number of groups.
        weights: one per group, usually the square root of its size.
    """

    alpha: Float[Array, "*g"]
    labels: Int[Array, " p"]
    weights: Float[Array, " g"]
    anchor_moves: ClassVar[bool] = False

    def thresholds(self) -> Float[Array, " g"]:
        """`t_g`."""
        return self.alpha * self.weights

    def sums(self, v: Float[Array, "p *k"]) -> Float[Array, "g *k"]:
        """The sum over each group."""
        return jax.ops.segment_sum(v, self.labels, num_segments=self.weights.shape[0])

    def norms(self, v: Float[Array, " p"]) -> Float[Array, " g"]:
        """`||v_g||`, with the derivative 0 at 0."""
        return _root(self.sums(jnp.square(v)))

    def directions(self, v: Float[Array, " p"]) -> Float[Array, " p"]:
        """`v_g / ||v_g||`, and 0 where the norm is."""
        norms = self.spread(self.norms(v))
        return v / _positive(norms)

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_g t_g ||z_g||`."""
        return jnp.sum(self.thresholds() * self.norms(z))

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding of the norms; `step` is the same within a group (see `steps`)."""
        norms, size = self.spread(self.norms(u)), step * self.spread(self.thresholds())
        shrunk = jnp.where(norms <= size, 0, (1 - size / _positive(norms)) * u)  # NaN stays NaN
        return jnp.where(size == 0, u, shrunk)  # also at 0, where the identity has a derivative

    def steps(self, curvature: Float[Array, " p"]) -> Float[Array, " p"]:
        """One step per group, for its largest curvature."""
        return self.spread(1 / jax.ops.segment_max(curvature, self.labels, num_segments=self.weights.shape[0]))

    def conjugate(self, v: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """`tau = min_g t_g / ||v_g||` over the penalised groups, at most 1, and 0."""
        bounds, norms = self.thresholds(), self.norms(v)
        penalised = bounds > 0
        size = jnp.where(penalised, jnp.maximum(norms, bounds), 1)
        return jnp.min(jnp.where(penalised, bounds / size, 1)), jnp.zeros((), v.dtype)

    def invalid(self) -> Array:
        """Whether some `alpha_g` is negative."""
        return jnp.any(self.alpha < 0)

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free where `||u_g|| > step t_g` beyond rounding; an unpenalised group is free and has no kink."""
        step = jnp.broadcast_to(step, u.shape)
        squares, steps, sizes = self.sums(jnp.stack([jnp.square(u), step, jnp.ones_like(u)], axis=1)).T
        size, threshold = _root(squares), self.thresholds() * steps / _positive(sizes)
        excess = size - threshold
        smooth = threshold == 0
        free = smooth | (excess > kink_tolerance(u.dtype) * (size + threshold))
        return Branches(free.astype(u.dtype), jnp.where(smooth, jnp.inf, jnp.abs(excess)), size + threshold)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`t_g z_g / ||z_g||`, with the direction of `u_g` (the same at a solution) where `z_g` is 0."""
        squares = lax.stop_gradient(self.sums(jnp.stack([jnp.square(z), jnp.square(u)], axis=1)))
        there = self.spread(squares[:, 0] > 0)
        outward = lax.stop_gradient(u) / self.spread(_positive(_root(squares[:, 1])))
        return self.spread(self.thresholds()) * jnp.where(there, self.directions(z), outward)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero."""
        return jnp.zeros_like(u)

    def spread(self, values: Shaped[Array, " g"]) -> Shaped[Array, " p"]:
        """By label."""
        return values[self.labels]

    def along(self, u: Float[Array, " p"], v: Float[Array, " p"]) -> Float[Array, " p"]:
        """`n_g n_g^T v_g`."""
        n = self.directions(u)
        return n * self.spread(self.sums(n * v))

    def bend_block(self, z: Array, bend: Callable[[Array], Array], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """`t_g / ||z_g|| (I - n_g n_g^T)` with `n_g = z_g / ||z_g||`, and 0 where `z_g` is."""
        norms = self.norms(z)
        size = jnp.where(norms > 0, self.thresholds() / _positive(norms), 0)[self.labels[index]]
        n = z[index] / _positive(norms)[self.labels[index]]
        identity = jnp.eye(index.shape[0], dtype=z.dtype)
        across = size[:, None] * (identity - n[:, None] * n[None, :])
        return jnp.where(self._same(index), across, 0)

    def compress(
        self, block: Float[Array, "c c"], u: Float[Array, " p"], tied: Bool[Array, " p"], index: Int[Array, " c"]
    ) -> Float[Array, "c c"]:
        """With `P = n_g n_g^T` on the tied groups."""
        identity = jnp.eye(index.shape[0], dtype=block.dtype)
        first = jnp.argmax(index[:, None] == index[None, :], axis=1) == jnp.arange(index.shape[0])  # not padding
        tied = tied[index] & first
        n = jnp.where(tied, self.directions(u)[index], 0)
        onto = jnp.where(self._same(index), n[:, None] * n[None, :], 0)
        projection = jnp.where(tied[:, None] | tied[None, :], onto, identity)
        return lax.cond(
            jnp.any(tied),
            lambda: projection @ block @ projection + (identity - projection),
            lambda: block,
        )

    def restrict(self, index: Int[Array, " c"], dimension: int) -> tuple[GroupL2, Bool[Array, " c"]]:
        """The same groups; those cut by `index` are not whole."""
        cut = GroupL2(self.alpha, self.labels[index], self.weights)
        ones = jnp.ones(dimension, self.weights.dtype)
        return cut, cut.spread(cut.sums(ones[index]) == self.sums(ones))

    def _same(self, index: Int[Array, " c"]) -> Bool[Array, "c c"]:
        labels = self.labels[index]
        return labels[:, None] == labels[None, :]


def _root(squares: Array) -> Array:
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


def _positive(x: Array) -> Array:
    return jnp.where(x > 0, x, 1)
