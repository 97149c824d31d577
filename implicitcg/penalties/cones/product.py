"""Products of cones: the blocks of a vector, each in its own cone."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from .cone import AbstractCone
from .power import Power


class _Run(NamedTuple):
    """`number` cones alike of dimension `size`, whose blocks begin at `start`; their parameters are stacked."""

    cone: AbstractCone
    number: int
    size: int
    start: int

    def of(self, x: Array) -> Array:
        """The blocks, one a row; a single one without that axis."""
        part = x[..., self.start : self.start + self.number * self.size]
        alone = self.number == 1 and not isinstance(self.cone, Power)
        return part if alone else part.reshape(*x.shape[:-1], self.number, self.size)


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
        x = self.checked(x)
        return _joined(x, [_flat(run.cone.project(run.of(x)), x) for run in self._runs()])

    def project_dual(self, v: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Every block projected on the dual of its cone."""
        v = self.checked(v)
        return _joined(v, [_flat(run.cone.project_dual(run.of(v)), v) for run in self._runs()])

    def _runs(self) -> list[_Run]:
        """Equal cones that follow each other are projected on together: a program has hundreds of exponential ones."""
        runs, start = [], 0
        for _, group in itertools.groupby(self.cones, key=jax.tree.structure):
            alike = list(group)
            if not jax.tree.leaves(alike[0]) or isinstance(alike[0], Power):
                parts = [(jax.tree.map(lambda *leaves: jnp.stack(leaves), *alike), len(alike))]
            else:
                parts = [(cone, 1) for cone in alike]
            for cone, count in parts:
                size = alike[0].dimension
                runs.append(_Run(cone, count, size, start))
                start += count * size
        return runs

    def dual(self) -> Product:
        """The product of the duals."""
        return Product(*[cone.dual() for cone in self.cones])

    def invalid(self) -> Array:
        return jnp.stack([jnp.any(cone.invalid()) for cone in self.cones] or [jnp.asarray(False)]).any()


def _flat(blocks: Array, like: Array) -> Array:
    return blocks.reshape(*like.shape[:-1], -1)


def _joined(like: Array, blocks: list[Array]) -> Array:
    return jnp.concatenate(blocks, axis=-1) if blocks else like
