"""The contracts of what works on a problem: a solver finds its root, an adjoint solves the system of its derivative."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
from jax import Array
from jaxtyping import PyTree

from .linearisation import Linearisation

Z = TypeVar("Z")


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


class AbstractAdjoint(eqx.Module):
    """Solves `B dz = rhs` for a linearisation, differentiably in `rhs` and in `B`, unless it is `biased`."""

    biased: ClassVar[bool] = False

    @abc.abstractmethod
    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """`B^{-1} rhs`; where that cannot be had, an error if `throw`, NaN otherwise."""
