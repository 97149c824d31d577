"""What a penalty must know, and the weighted l1 norm.

A penalty `g` enters a problem through its proximal map `prox_{step g}(u) = argmin_v g(v) + |v - u|^2 / (2 step)`. A
penalty *of blocks*, `g(v) = sum_b g_b(v_b)` over disjoint sets of coordinates, also knows its branches: a block is
**free** where its prox moves with `u`, and **fixed** where the prox is locally constant. On the free branch `g_b` is
smooth, so the optimality condition there is the smooth equation `grad_b f + grad g_b = 0`; that is what makes
derivatives live on a small face. In a *separable* penalty every coordinate is a block.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int, Shaped

from ..base import kink_tolerance
from .thresholding import soft_threshold


class Branches(NamedTuple):
    """The scalar kinks between the free and the fixed branch at `u`, one per block.

    `free` is 1 on the free branch and 0 on the fixed one, with the tie rule of the penalty applied; `distance` is how
    far `u_b` is from the kink, in the units of the coefficient, and `scale` the size of the numbers compared there.
    """

    free: Float[Array, " b"]
    distance: Float[Array, " b"]
    scale: Float[Array, " b"]

    def on_kink(self, tolerance: Float[Array, ""] | float = 0.0) -> Bool[Array, " b"]:
        """Which blocks sit on their kink: within `tolerance`, or within rounding of the numbers compared."""
        return self.distance <= jnp.maximum(tolerance, kink_tolerance(self.scale.dtype) * self.scale)


class AbstractPenalty(eqx.Module):
    """A penalty or set: its value and its proximal map.

    `convex` says whether it is convex, and `flat` that it is known to add nothing to a Hessian where it is free.
    """

    convex: ClassVar[bool] = True
    flat: ClassVar[bool] = False

    @abc.abstractmethod
    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`g(z)`."""

    @abc.abstractmethod
    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """`argmin_v g(v) + sum_j (v_j - u_j)^2 / (2 step_j)`."""

    def steps(self, curvature: Float[Array, " p"]) -> Float[Array, " p"]:
        """The steps at which the prox has its closed form, at most `1 / curvature`; equal ones by default."""
        return jnp.full_like(curvature, 1 / jnp.max(curvature))

    def conjugate(self, v: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """`(tau, g*(tau v))` with the largest `tau <= 1` for which the conjugate is finite; NaN if it is not known."""
        unknown = jnp.full((), jnp.nan, v.dtype)
        return unknown, unknown

    def invalid(self) -> Array:
        """Whether the parameters are outside the penalty's domain."""
        return jnp.asarray(False)


class AbstractBlocks(AbstractPenalty):
    """A sum of penalties of disjoint blocks of coordinates, each with a free and a fixed branch.

    `anchor_moves` says whether the fixed values depend on the penalty's parameters: bounds do, the zero of l1 does not.
    `bends` says whether free branches meet at kinks of their own, which `slope` then chooses between.
    """

    anchor_moves: ClassVar[bool] = True
    bends: ClassVar[bool] = False

    @abc.abstractmethod
    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """The branch that each block is on at `u`, with the penalty's tie rule, and the distance to its kink."""

    @abc.abstractmethod
    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`grad g(z)` on the free branch next to `u`, as a smooth function of `z` and the penalty's parameters."""

    @abc.abstractmethod
    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """The constant value of the prox on the fixed branch next to `u`."""

    def anchor_at(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Float[Array, " p"]:
        """`anchor`, for penalties whose fixed branches cannot be told apart without the step."""
        return self.anchor(u)

    @abc.abstractmethod
    def spread(self, values: Shaped[Array, " b"]) -> Shaped[Array, " p"]:
        """One value per block, repeated for its coordinates."""

    @abc.abstractmethod
    def along(self, u: Float[Array, " p"], v: Float[Array, " p"]) -> Float[Array, " p"]:
        """`v` projected on the directions in which a block on its kink at `u` can move once it is free."""

    @abc.abstractmethod
    def bend_block(self, z: Array, bend: Callable[[Array], Array], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """The Hessian of `g` on its free branch, for a few coordinates; `bend(v)` is its product with `v`."""

    @abc.abstractmethod
    def compress(
        self, block: Float[Array, "c c"], u: Float[Array, " p"], tied: Bool[Array, " p"], index: Int[Array, " c"]
    ) -> Float[Array, "c c"]:
        """`P K P + I - P` for a block `K`, with `P` the projection `along` on the tied coordinates, `I` elsewhere."""

    @abc.abstractmethod
    def restrict(self, index: Int[Array, " c"], dimension: int) -> tuple[AbstractBlocks, Bool[Array, " c"]]:
        """The penalty of a few of the `dimension` coordinates, and which of those have their whole block among them."""


class AbstractSeparable(AbstractBlocks):
    """A sum of one-dimensional penalties: every coordinate is a block."""

    def steps(self, curvature: Float[Array, " p"]) -> Float[Array, " p"]:
        """Any steps will do."""
        return 1 / curvature

    def curvature(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`g_j''(z_j)` on the free branch; the slope acts by coordinate, so one product with ones is its diagonal."""
        return jax.jvp(lambda v: self.slope(v, u), (z,), (jnp.ones_like(z),))[1]

    def bent(
        self, z: Float[Array, " p"], u: Float[Array, " p"]
    ) -> tuple[Float[Array, " p"], Float[Array, " p"], Float[Array, " p"]]:
        """Where `bends`: the two curvatures that meet at the kink between free branches, and the distance to it."""
        curvature = self.curvature(z, u)
        return curvature, curvature, jnp.full_like(z, jnp.inf)

    def spread(self, values: Shaped[Array, " p"]) -> Shaped[Array, " p"]:
        """The values themselves."""
        return values

    def along(self, u: Float[Array, " p"], v: Float[Array, " p"]) -> Float[Array, " p"]:
        """All of `v`: a coordinate can only move along itself."""
        return v

    def bend_block(self, z: Array, bend: Callable[[Array], Array], index: Int[Array, " c"]) -> Float[Array, "c c"]:
        """A diagonal matrix."""
        return jnp.diag(bend(jnp.ones_like(z))[index])

    def compress(
        self, block: Float[Array, "c c"], u: Float[Array, " p"], tied: Bool[Array, " p"], index: Int[Array, " c"]
    ) -> Float[Array, "c c"]:
        """The block itself."""
        return block

    def restrict(self, index: Int[Array, " c"], dimension: int) -> tuple[AbstractSeparable, Bool[Array, " c"]]:
        """The entries `index` of every parameter that has one per coordinate."""

        def pick(leaf: Any) -> Any:
            return leaf[index] if eqx.is_array(leaf) and leaf.shape == (dimension,) else leaf

        return jax.tree.map(pick, self), jnp.ones(index.shape, bool)


class AbstractShrinkage(AbstractSeparable):
    """A separable penalty that is `alpha_j |z_j|` near 0, so that its prox is fixed at 0 up to `|u_j| = step alpha_j`.

    Tie rule: a coordinate on this kink is fixed at 0, the smallest active set, so that the default derivative is a
    one-sided one. Ties are judged up to rounding, `eps^{3/4}` relative (1.8e-12 in float64), because a solution on a
    knot is only known so far.
    """

    alpha: eqx.AbstractVar[Float[Array, "*p"]]
    anchor_moves: ClassVar[bool] = False

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free where `|u| > step alpha` beyond rounding; an unpenalised coordinate is free and has no kink."""
        threshold = step * self.alpha
        size = jnp.abs(u)
        excess = size - threshold
        smooth = jnp.broadcast_to(threshold == 0, u.shape)
        free = smooth | (excess > kink_tolerance(u.dtype) * (size + threshold))
        return Branches(free.astype(u.dtype), jnp.where(smooth, jnp.inf, jnp.abs(excess)), size + threshold)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero."""
        return jnp.zeros_like(u)

    def l1_and_ridge(self) -> tuple[Float[Array, "*p"], Float[Array, "*p"] | None] | None:
        """`(alpha, ridge)` of a penalty `sum_j alpha_j |z_j| + ridge_j z_j^2 / 2`; `None` for one that is none."""
        return None


class L1(AbstractShrinkage):
    """`g(z) = sum_j alpha_j |z_j|`, with `prox(u) = sign(u) max(|u| - step alpha, 0)`.

    Kinks and tie rule are those of `AbstractShrinkage`.
    """

    alpha: Float[Array, "*p"]
    flat: ClassVar[bool] = True

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`sum_j alpha_j |z_j|`."""
        return jnp.sum(self.alpha * jnp.abs(z))

    def prox(self, u: Float[Array, " p"], step: Float[Array, "*p"]) -> Float[Array, " p"]:
        """Soft thresholding at `step alpha`."""
        return soft_threshold(u, step * self.alpha)

    def conjugate(self, v: Float[Array, " p"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """`tau = min_j alpha_j / |v_j|` over the penalised coordinates, at most 1, and 0."""
        penalised = self.alpha > 0
        size = jnp.where(penalised, jnp.maximum(jnp.abs(v), self.alpha), 1)
        return jnp.min(jnp.where(penalised, self.alpha / size, 1)), jnp.zeros((), v.dtype)

    def invalid(self) -> Array:
        """Whether some `alpha_j` is negative."""
        return jnp.any(self.alpha < 0)

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """`alpha sign(u)`."""
        del z
        return self.alpha * lax.stop_gradient(jnp.sign(u))

    def l1_and_ridge(self) -> tuple[Float[Array, "*p"], Float[Array, "*p"] | None]:
        """`(alpha, None)`: there is no ridge."""
        return self.alpha, None
