"""The contracts: a problem is an equation, a linearisation is one element of its conservative Jacobian."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Float, PyTree

from ..base.checks import matching_structure
from ..base.loops import vary_like
from ..linear import AbstractFace, BucketedFactor, Everything, Splitting
from .certificate import Certificate
from .vertices import vertex_certificate

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


class AbstractProblem(eqx.Module, Generic[Z]):
    """An equation `F(z; theta) = 0` whose parameters `theta` are the array leaves of the problem itself.

    A new problem needs `residual`, `initial` and `default_solver`; all derivatives follow. Structure (a face, a
    symmetric block, a factor to reuse) is added by overriding `linearise`.
    """

    @abc.abstractmethod
    def residual(self, z: Z) -> Z:
        """`F(z; theta)`, of the same structure as `z`."""

    @abc.abstractmethod
    def initial(self) -> Z:
        """A starting point, which also fixes the structure, shapes and dtypes of the unknown."""

    @abc.abstractmethod
    def default_solver(self) -> AbstractSolver:
        """The solver used when none is named."""

    def start(self, init: Any) -> Z:
        """The starting point for a user's `init`, checked against the unknown; the default for `None`."""
        return self.initial() if init is None else matching_structure(init, self.initial(), "init")

    def present(self, z: Z) -> tuple[PyTree, PyTree | None]:
        """What the user sees of the root: `(value, dual)`, computed differentiably."""
        return z, None

    def invalid(self) -> Array:
        """Whether the data are outside the problem's domain; finiteness is checked elsewhere."""
        return jnp.asarray(False)

    def closed(self, init: Z | None) -> AbstractProblem[Z]:
        """The same problem with every array that its functions close over made a leaf."""
        return self

    def linearise(self, z: Z, memory: PyTree = None) -> Linearisation[Z]:
        """One element of the conservative Jacobian at `z`; `memory` is what the solver left behind.

        The default differentiates `residual` once in `(theta, z)` together, so that both blocks share every choice
        made at a kink.
        """
        parameters, rest = eqx.partition(self, eqx.is_inexact_array)
        _, joint = jax.linearize(lambda p, z: eqx.combine(p, rest).residual(z), parameters, z)
        no_parameters = jax.tree.map(jnp.zeros_like, parameters)
        no_unknowns = jax.tree.map(jnp.zeros_like, z)

        def push(tangent: Any) -> Z:
            filled = jax.tree.map(
                lambda zero, t: zero if t is None else t,
                no_parameters,
                eqx.filter(tangent, eqx.is_inexact_array),
                is_leaf=lambda leaf: leaf is None,
            )
            return joint(filled, no_unknowns)

        flat, _ = ravel_pytree(z)
        return Linearisation(
            # on several devices a vector made anew is marked like the unknown, which differs from one to the next
            apply=lambda dz: joint(no_parameters, jax.tree.map(vary_like, dz, z)),
            push=push,
            face=Everything(flat.shape[0]),
            margin=jnp.asarray(jnp.inf, flat.dtype),
        )

    def certificate(self, z: Z, residual: float, tolerance: float | None) -> Certificate:
        """The verdict on every element of the conservative Jacobian at `z`; see `certify`.

        The default enumerates the elements at the kinks of `residual` and compares their determinants.
        """
        return vertex_certificate(self, z, residual, tolerance)


class Found(eqx.Module, Generic[Z]):
    """What a solver returns: the point, how it ended, the steps it took and, if it made one, its memory.

    `memory` is handed to `AbstractProblem.linearise`: a factorisation to reuse. `gap` is a duality gap where the solver
    computes one, relative to the objective at zero.
    """

    z: Z
    status: Any
    iterations: Array
    memory: PyTree = None
    gap: Array | None = None


class AbstractSolver(eqx.Module):
    """A way to find the root; how it works never enters the derivative."""

    @abc.abstractmethod
    def run(self, problem: Any, init: Any) -> Found:
        """The root of `problem` from `init`, with a status that tells the truth."""

    def require(self, problem: Any, *parts: str) -> None:
        """Raise `TypeError` unless `problem` has the parts that this solver works on, as `smooth` and `penalty`."""
        missing = [part for part in parts if not hasattr(problem, part)]
        if missing:
            raise TypeError(
                f"{type(self).__name__} solves problems made of {', '.join(parts)}; {type(problem).__name__} has no "
                f"{' and no '.join(missing)}. Leave `solver` out to use {type(problem.default_solver()).__name__}."
            )
