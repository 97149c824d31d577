"""Products of cones: the blocks of a vector, each in its own cone."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from .cone import AbstractCone


class Product(AbstractCone):
    """The product `K_1 x ... x K_m` of cones: a vector is their blocks, one after the other.

    >>> import jax.numpy as jnp
    >>> from implicitcg.cones import Nonnegative, Zero
    >>> Product(Zero(1), Nonnegative(2)).project(jnp.array([3.0, 1.0, -2.0])).tolist()
    [0.0, 1.0, 0.0]
    """

    cones: tuple[AbstractCone, ...]

    def __init__(self, *cones: AbstractCone):
        for cone in cones:
            if not isinstance(cone, AbstractCone):
                raise TypeError(f"Product is made of cones, as in Product(Zero(2), SecondOrder(3)); got {cone!r}.")
        self.cones = cones

    @property
    def dimension(self) -> int:
        """The sum of the dimensions."""
        return sum(cone.dimension for cone in self.cones)

    def split(self, v: Float[Array, "*batch d"]) -> list[Array]:
        """The blocks of a vector."""
        ends = np.cumsum([cone.dimension for cone in self.cones])
        return jnp.split(self.checked(v), ends[:-1], axis=-1) if self.cones else []

    def project(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Every block projected on its cone."""
        return _joined(x, [cone.project(block) for cone, block in zip(self.cones, self.split(x), strict=True)])

    def project_dual(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Every block projected on the dual of its cone."""
        return _joined(v, [cone.project_dual(block) for cone, block in zip(self.cones, self.split(v), strict=True)])

    def dual(self) -> Product:
        """The product of the duals."""
        return Product(*[cone.dual() for cone in self.cones])

    def invalid(self) -> Array:
        return jnp.stack([jnp.any(cone.invalid()) for cone in self.cones] or [jnp.asarray(False)]).any()


def _joined(like: Array, blocks: list[Array]) -> Array:
    return jnp.concatenate(blocks, axis=-1) if blocks else like
