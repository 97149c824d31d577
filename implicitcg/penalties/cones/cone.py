"""What a cone must know: its dimension, its projection and its dual."""

from __future__ import annotations

import abc
from typing import Any

from jax import Array
from jaxtyping import Float

from ..sets.set import AbstractSet


class AbstractCone(AbstractSet):
    """A closed convex cone `K` in `R^d`; vectors lie along the last axis.

    Moreau: `v = Pi_K(v) - Pi_{K*}(-v)` with the dual cone `K* = {y : x^T y >= 0 for all x in K}`.
    """

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """`d`, the length of a vector of the cone."""

    @abc.abstractmethod
    def dual(self) -> AbstractCone:
        """The dual cone `K*`."""

    def project_dual(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """The projection on the dual cone, `v + Pi_K(-v)` by Moreau's decomposition."""
        return v + self.project(-v)

    def checked(self, v: Any) -> Any:
        """`v`, or an error that tells which length was expected."""
        if v.ndim == 0 or v.shape[-1] != self.dimension:
            raise ValueError(
                f"{type(self).__name__} has dimension {self.dimension}; the last axis of a vector of shape {v.shape} "
                f"does not. Split or stack the blocks in the order of the cones."
            )
        return v


class Dual(AbstractCone):
    """The dual `K*` of a cone that is not its own dual, projected on by Moreau's decomposition."""

    cone: AbstractCone

    @property
    def dimension(self) -> int:
        return self.cone.dimension

    def project(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """`x + Pi_K(-x)`."""
        return self.cone.project_dual(self.checked(x))

    def project_dual(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """The projection on `K` itself, which is the dual of its dual."""
        return self.cone.project(self.checked(v))

    def dual(self) -> AbstractCone:
        """The cone itself: `K** = K`."""
        return self.cone

    def invalid(self) -> Array:
        return self.cone.invalid()
