"""A problem is an equation whose array leaves are its parameters."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

from ..base.checks import matching_structure
from ..base.loops import vary_like
from .certificate import Certificate
from .linearisation import Linearisation
from .vertices import vertex_certificate

if TYPE_CHECKING:  # a solver is written for a problem, and not a problem for its solver
    from .contracts import AbstractSolver

Z = TypeVar("Z")


class AbstractProblem(eqx.Module, Generic[Z]):
    """An equation `F(z; theta) = 0` whose parameters `theta` are the array leaves of the problem itself.

    A new problem needs `residual` and `initial`; all derivatives follow. Structure (symmetry, an inverse) is added by
    overriding `linearise`.
    """

    @abc.abstractmethod
    def residual(self, z: Z) -> Z:
        """`F(z; theta)`, of the same structure as `z`."""

    @abc.abstractmethod
    def initial(self) -> Z:
        """A starting point, which also fixes the structure, shapes and dtypes of the unknown."""

    def default_solver(self) -> AbstractSolver | None:
        """The solver used when none is named; by default that of `solvers/automatic.py` for this kind of problem."""
        return None

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
        """One element of the conservative Jacobian at `z`; `memory` is what the solver left behind, or `None`.

        A problem and its solvers agree on what that is (`Found.memory`). It may spare this method work (a factor for
        its inverse) and never changes the element: without it, the same comes out.

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

        return Linearisation(
            # on several devices a vector made anew is marked like the unknown, which differs from one to the next
            apply=lambda dz: joint(no_parameters, jax.tree.map(vary_like, dz, z)),
            push=push,
        )

    def certificate(self, z: Z, residual: float, tolerance: float | None) -> Certificate:
        """The verdict on every element of the conservative Jacobian at `z`; see `certify`.

        The default enumerates the elements at the kinks of `residual` and compares their determinants.
        """
        return vertex_certificate(self, z, residual, tolerance)
