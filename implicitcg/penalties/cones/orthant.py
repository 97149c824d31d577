"""The cones that act by coordinate: zero, all of space, and the nonnegative orthant."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...nonsmooth import positive_part
from ..penalty import AbstractSeparable, Branches
from .cone import AbstractCone


class Nonnegative(AbstractCone, AbstractSeparable):
    """The orthant `{x : x_j >= 0}`, its own dual; the constraint of nonnegative least squares as a penalty.

    Tie rule: a coordinate at its kink `u_j = 0` is fixed at 0. `dimension` is only needed inside a conic problem.

    >>> import jax.numpy as jnp
    >>> Nonnegative(2).project(jnp.array([1.0, -2.0])).tolist()
    [1.0, 0.0]
    """

    size: int | None = eqx.field(static=True, default=None)
    anchor_moves: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        return _known(self.size, "Nonnegative")

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """`max(x, 0)`."""
        return positive_part(x if self.size is None else self.checked(x))

    def dual(self) -> Nonnegative:
        """The orthant itself."""
        return self

    def project_dual(self, v: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return self.project(v)

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free where `u > 0`."""
        del step
        return Branches((u > 0).astype(u.dtype), jnp.abs(u), jnp.abs(u))

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero: inside the set there is no cost."""
        del u
        return jnp.zeros_like(z)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero."""
        return jnp.zeros_like(u)


class Zero(AbstractCone, AbstractSeparable):
    """The cone `{0}`: equality constraints. Its dual is all of space."""

    size: int | None = eqx.field(static=True, default=None)
    anchor_moves: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        return _known(self.size, "Zero")

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Zero."""
        return jnp.zeros_like(x if self.size is None else self.checked(x))

    def dual(self) -> Free:
        return Free(self.size)

    def project_dual(self, v: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """`v` itself."""
        return v if self.size is None else self.checked(v)

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Fixed everywhere; there is no kink."""
        del step
        return Branches(jnp.zeros_like(u), jnp.full_like(u, jnp.inf), jnp.ones_like(u))

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        del u
        return jnp.zeros_like(z)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        """Zero."""
        return jnp.zeros_like(u)


class Free(AbstractCone, AbstractSeparable):
    """All of space: no constraint. Its dual is `{0}`."""

    size: int | None = eqx.field(static=True, default=None)
    anchor_moves: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        return _known(self.size, "Free")

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """`x` itself."""
        return x if self.size is None else self.checked(x)

    def dual(self) -> Zero:
        return Zero(self.size)

    def project_dual(self, v: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Zero."""
        return jnp.zeros_like(v if self.size is None else self.checked(v))

    def branches(self, u: Float[Array, " p"], step: Float[Array, " p"]) -> Branches:
        """Free everywhere; there is no kink."""
        del step
        return Branches(jnp.ones_like(u), jnp.full_like(u, jnp.inf), jnp.ones_like(u))

    def slope(self, z: Float[Array, " p"], u: Float[Array, " p"]) -> Float[Array, " p"]:
        del u
        return jnp.zeros_like(z)

    def anchor(self, u: Float[Array, " p"]) -> Float[Array, " p"]:
        return jnp.zeros_like(u)


def _known(size: int | None, name: str) -> int:
    if size is None:
        raise ValueError(f"This cone does not know its dimension; give it at construction, as in {name}(3).")
    return size
