"""The inverse of an equation that is the identity outside a face, by the factor that a solver left behind.

At a solution of a nonsmooth problem many unknowns are pinned: their rows of `B` are those of the identity, and the
linear system of the implicit function theorem lives on the remaining ones, the *face*.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from .factorisation import BucketedFactor, factorise
from .inverse import AbstractInverse, Facts


class FaceInverse(AbstractInverse):
    """`B^{-1}` for a symmetric `B` that is the identity on the unknowns outside `mask`.

    Attributes:
        factor: that of the default selection, which may have been too large to be kept; its pivots say of *every*
            selection at this point whether it is regular.
        mask: the face of the selection at hand.
        chosen: whether the selection at hand is the default one; the face is factored anew for another.
        block: `B[index][:, index]` for a few coordinates, in the selection at hand.
        capacities: the static sizes of face that there is a program for. A larger one is not this inverse's to solve.
    """

    factor: BucketedFactor
    mask: Bool[Array, " p"]
    chosen: Bool[Array, ""]
    block: Callable[[Int[Array, " c"]], Float[Array, "c c"]]
    capacities: tuple[int, ...] = eqx.field(static=True)

    def facts(self) -> Facts:
        """See `AbstractInverse.facts`: it applies where there is room for the face, so always if there is for all."""
        return Facts(self.factor.fits if len(self.mask) > max(self.capacities) else True, regular=self.factor.healthy)

    def solve(self, rhs: Float[Array, " p"], *, transposed: bool) -> tuple[Float[Array, " p"], Bool[Array, ""]]:
        """See `AbstractInverse.solve`.

        A symmetric `B` that is the identity off the face couples nothing, so those entries are read off.
        """
        del transposed
        factor, mask, block = self.factor, self.mask, self.block

        def reuse(b: Array) -> Array:  # a function of its own: bound methods of modules with arrays do not hash
            return factor.solve(b)

        def fresh(b: Array) -> Array:
            branches = [
                lambda b, c=c: factorise(block, mask, jnp.zeros_like(mask), c).solve(b) for c in self.capacities
            ]
            return lax.switch(factor.bucket, branches, b) if len(branches) > 1 else branches[0](b)

        x = lax.cond(self.chosen & factor.kept, reuse, fresh, jnp.where(mask, rhs, 0))
        return x + jnp.where(mask, 0, rhs), factor.healthy
