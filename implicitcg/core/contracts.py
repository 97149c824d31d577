"""The contracts of what works on a problem: a solver finds its root, an adjoint solves the system of its derivative.

Both are called by the rule and by nobody else in this room, so only their contracts stand here; what they are is above,
in `solvers` and in `adjoints`.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

import equinox as eqx
from jax import Array
from jaxtyping import PyTree

from .linearisation import Linearisation
from .problem import AbstractProblem

Z = TypeVar("Z")
P = TypeVar("P", bound=AbstractProblem, contravariant=True)


class Found(eqx.Module, Generic[Z]):
    """What a solver returns: the point, how it ended, the steps it took and, if it made one, its memory.

    `memory` is handed to `AbstractProblem.linearise`, so that what the last step factored is not factored again for the
    derivative: the Hessian on the face (`BucketedFactor`), the reduced system of an active set (`KKTFactor`), the
    resolvent of a splitting with its step. It belongs to the point `z` and to the default selection there, and `None`
    is always right. `gap` is a duality gap where the solver computes one, relative to the objective at zero.
    """

    z: Z
    status: Any
    iterations: Array
    memory: PyTree = None
    gap: Array | None = None


class AbstractSolver(eqx.Module, Generic[P]):
    """A way to find the root; how it works never enters the derivative.

    A solver says in its type what it solves: `class Pivoting(AbstractSolver[QP])`. `solves` is that kind, and every
    equation where the type says nothing. Whoever hands it a problem asks `misfit` first; `run` does not ask again.
    """

    solves: ClassVar[type[AbstractProblem]] = AbstractProblem

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is AbstractSolver and not isinstance(kind := get_args(base)[0], TypeVar):
                cls.solves = get_origin(kind) or kind

    @abc.abstractmethod
    def run(self, problem: P, init: Any) -> Found:
        """The root of `problem` from `init`, with a status that tells the truth."""

    def refuses(self, problem: P) -> str | None:
        """Why a problem of the right kind is none for this solver, as far as types and shapes tell; else `None`."""
        return None

    def misfit(self, problem: AbstractProblem) -> str | None:
        """Why this solver cannot solve `problem`: another kind of equation, or one that it `refuses`; else `None`."""
        if isinstance(problem, self.solves):
            return self.refuses(problem)  # pyright: ignore[reportArgumentType]
        parts, name = [field.name for field in dataclasses.fields(self.solves)], type(problem).__name__
        lacking = [part for part in parts if part not in {field.name for field in dataclasses.fields(problem)}]
        other = f"{name} has no {' and no '.join(lacking)}" if lacking else f"{name} is another kind"
        return f"it solves a {self.solves.__name__}, made of {', '.join(parts)}; {other}"


class AbstractAdjoint(eqx.Module):
    """Solves `B dz = rhs` for a linearisation, differentiably in `rhs` and in `B`, unless it is `biased`."""

    biased: ClassVar[bool] = False

    @abc.abstractmethod
    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """`B^{-1} rhs`; where that cannot be had, an error if `throw`, NaN otherwise."""
