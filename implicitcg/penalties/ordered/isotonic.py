"""Isotonic regression: the projection on nondecreasing vectors."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..sets.set import AbstractSet
from .blocks import joined


class Isotonic(AbstractSet):
    """The cone of nondecreasing vectors, `x_1 <= x_2 <= ... <= x_n`.

    The projection is piecewise constant: on each of its runs it is the mean of `x`. The runs are found by pooling
    adjacent violators in `O(n)`, and the Jacobian is the mean over the runs, in `O(n)` too.

    Tie rule: two runs with the same mean are one, the smallest face.

    >>> import jax.numpy as jnp
    >>> Isotonic().project(jnp.array([1.0, 3.0, 2.0, 4.0])).tolist()
    [1.0, 2.5, 2.5, 4.0]

    Source: Barlow, Bartholomew, Bremner, Brunk, Statistical Inference under Order Restrictions, 1972.
    """

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        if x.shape[-1] < 2:
            return x
        return jnp.vectorize(lambda x: joined(x, (x,))[0][0], signature="(n)->(n)")(x)
