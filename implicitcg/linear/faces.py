"""Faces: the part of the space on which the linearised equation is not the identity.

At a solution of a nonsmooth problem many unknowns are pinned: their rows of `B` are those of the identity, and the
linear system of the implicit function theorem lives on the remaining ones, the face.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int


class AbstractFace(eqx.Module):
    """The unknowns on which `B` differs from the identity."""

    @abc.abstractmethod
    def size(self) -> Int[Array, ""] | int:
        """The dimension of the face."""


class Everything(AbstractFace):
    """No unknown is pinned: `B` is a general operator on the space of `structure`."""

    dimension: int = eqx.field(static=True)

    def size(self) -> int:
        """The dimension of the whole space."""
        return self.dimension


class Coordinates(AbstractFace):
    """The coordinates where `mask` is true; every other row of `B` is a row of the identity."""

    mask: Bool[Array, " p"]

    def size(self) -> Any:
        """The number of free coordinates."""
        return jnp.sum(self.mask)
