"""What exact adjoints share: one wrapper around `lax.custom_linear_solve`, and one place where answers are judged.

An adjoint is chosen by the kind of answer one wants. All of them solve forward and transposed systems, so that forward
and reverse mode agree; none returns a number for a system that it could not solve. The contract of every adjoint,
`AbstractAdjoint`, stands in `core`, where the rule calls it.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from ..base import Status, error_if
from ..core import AbstractAdjoint, Linearisation
from ..linear.solves import Matvec


class Solved(NamedTuple):
    """An answer to one right side, and whether it is one; where not, why. `None`: the `Way` knew it beforehand."""

    x: Array
    ok: Array | None = None
    why: Status = Status.adjoint_failed


class Way(NamedTuple):
    """How systems with one `B` are solved: `run(matvec, b, transposed)`, where `matvec` has the products.

    `regular` is what is known before any right side is: where it is false, none is solved, because of `why`.
    """

    run: Callable[[Matvec, Array, bool], Solved]
    regular: Array | None = None
    why: Status = Status.singular

    def attempt(self, matvec: Matvec, b: Array, transposed: bool) -> tuple[Array, Array]:
        """The answer and whether it is one, with all that is known of it taken together."""
        found = self.run(matvec, b, transposed)
        known = [ok for ok in (found.ok, self.regular) if ok is not None]
        return found.x, functools.reduce(jnp.logical_and, known)


class AbstractExact(AbstractAdjoint):
    """An adjoint without bias: it says how it solves on flat vectors, and the rest is the same for all."""

    @abc.abstractmethod
    def way(self, linearisation: Linearisation, matvec: Matvec, like: Array) -> Way:
        """How to solve with `B`, whose products are `matvec`, for right sides of the shape and dtype of `like`."""

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`.

        `lax.custom_linear_solve` makes it transposable, and differentiable in `B` too.
        """
        flat, unravel = ravel_pytree(rhs)
        matvec = linearisation.on_vectors(unravel)
        way = self.way(linearisation, matvec, flat)
        regular = way.regular
        if throw and regular is not None:  # judged here, where primal values are computed, not in the tangent solve
            regular = error_if(regular, ~regular, way.why)

        def solver(transposed: bool) -> Callable[[Matvec, Array], Array]:
            def solve(matvec: Matvec, b: Array) -> Array:
                x, ok, why = way.run(matvec, b, transposed)
                if ok is not None:
                    x = error_if(x, ~ok, why) if throw else jnp.where(ok, x, jnp.nan)
                return x if regular is None else jnp.where(regular, x, jnp.nan)

            return solve

        solves = solver(False), solver(True)
        return unravel(lax.custom_linear_solve(matvec, flat, *solves, symmetric=linearisation.symmetric))
