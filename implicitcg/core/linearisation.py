"""A linearisation: one element of the conservative Jacobian of an equation, and how to solve with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
from jax import Array
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from ..linear import AbstractInverse

Z = TypeVar("Z")


class Linearisation(eqx.Module, Generic[Z]):
    """One element `[A B]` of the conservative Jacobian of `F(theta, z)` at a solution.

    Both blocks come from one selection of the kinks, as the theorem demands: `A` from one branch and `B` from another
    is an element of nothing. `apply` and `push` are all that an equation must know; the rest is what it knows besides.

    Attributes:
        apply: `dz -> B dz` on the space of unknowns.
        push: `dtheta -> A dtheta` for a tangent of the problem (a problem of the same structure with `None` where
            nothing is perturbed).
        symmetric: whether `B` is symmetric positive semidefinite.
        inverse: a way of its own to solve with `B`, by structure or on the host. Its numbers are constants to
            derivatives, which see `B` through `apply`.
        diagonal: positive and about that of `B`, to scale the unknowns for iterative methods.
    """

    apply: Callable[[Z], Z]
    push: Callable[[Any], Z]
    symmetric: bool = eqx.field(static=True, default=False)
    inverse: AbstractInverse | None = None
    diagonal: Array | None = None

    def on_vectors(self, unravel: Callable[[Array], Z]) -> Callable[[Float[Array, " d"]], Float[Array, " d"]]:
        """`apply` on flat vectors, with the `unravel` of `jax.flatten_util.ravel_pytree`."""
        return lambda v: ravel_pytree(self.apply(unravel(v)))[0]
