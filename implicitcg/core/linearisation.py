"""A linearisation: one element of the conservative Jacobian of an equation, and how to solve with it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
from jax import Array
from jaxtyping import Bool, Float

from ..linear import AbstractFace, BucketedFactor, Splitting

Z = TypeVar("Z")


class AbstractInverse(eqx.Module):
    """A way of its own to solve with `B` and `B^T`, that a problem knows: by structure, or on the host.

    It is not trusted: what it returns is judged by the residual of the linear system.
    """

    @abc.abstractmethod
    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        """`B^{-1} rhs` or `B^{-T} rhs` on flat vectors, and whether `B` is regular; arbitrary numbers where not."""


class Linearisation(eqx.Module, Generic[Z]):
    """One element `[A B]` of the conservative Jacobian of `F(theta, z)` at a solution.

    `apply(dz) = B dz` on the space of unknowns, and `push(dtheta) = A dtheta` for a tangent of the problem (a problem
    of the same structure with `None` where nothing is perturbed). Both come from one selection of the kinks, as the
    theorem demands: `A` from one branch and `B` from another is an element of nothing.

    `face` says where `B` differs from the identity, `margin` how far the nearest kink is, `symmetric` whether `B` is
    symmetric positive semidefinite. `factor` is a factorisation that the solver left behind; it belongs to the
    default selection, and `factor_applies` says whether that is the selection at hand. `block(index)`, where given, is
    `B[index][:, index]` for a small set of coordinates, and `capacities` are the static sizes it may be asked for.
    `diagonal`, where given, is positive and about that of `B`: it scales the unknowns for iterative solvers.
    `splitting`, where given, says that `B = I - diag(d) W` for a layer, which `PeacemanRachford` makes use of.
    `inverse`, where given, solves with the `B` of the default selection; `factor_applies` is about it too. `large` says
    that products with `B` are cheaper than it, so that an automatic choice is matrix-free.
    """

    apply: Callable[[Z], Z]
    push: Callable[[Any], Z]
    face: AbstractFace
    margin: Float[Array, ""]
    symmetric: bool = eqx.field(static=True, default=False)
    factor: BucketedFactor | None = None
    factor_applies: Array | None = None
    block: Callable[[Array], Array] | None = None
    capacities: tuple[int, ...] = eqx.field(static=True, default=())
    diagonal: Array | None = None
    splitting: Splitting | None = None
    inverse: AbstractInverse | None = None
    large: bool = eqx.field(static=True, default=False)
