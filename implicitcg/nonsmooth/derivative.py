"""The derivative program of a function, in which every choice can be made otherwise.

`linearise` writes out, once, the program `(x, t) -> (fn(x), A t)` in which every kink is one call of `choose`. A kink
used twice in a derivative is one choice, so any override is one element of the autodiff set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from ..base import jaxprs
from . import custom, rewrite
from .choice import choice_p
from .sites import Manner, Rule, Site, SiteRecord, chosen, inner_programs, run_sites, sites


@dataclasses.dataclass(frozen=True)
class Derivative:
    """The program `(arguments, tangents of those that move) -> (results, tangents of those that move)`."""

    program: Any
    sites: tuple[Site, ...]
    results: int

    def __call__(
        self, arguments: list, tangents: list, weights: list | None = None, manner: Manner | None = None
    ) -> tuple[list, list]:
        """Results and their tangents, with the choices of `manner.rule`."""
        out, _ = run_sites(self.program, [*arguments, *tangents], self.sites, self._all(weights), manner or Manner())
        return out[: self.results], out[self.results :]

    def records(
        self, arguments: list, tangents: list, weights: list | None = None, rule: Rule = chosen
    ) -> list[SiteRecord]:
        """What is chosen at each site, and how near its kinks are."""
        return run_sites(self.program, [*arguments, *tangents], self.sites, self._all(weights), Manner(rule, True))[1]

    def split(self, arguments: list) -> SplitProgram:
        """Cut into what depends on no choice and no tangent (a solver, above all), and the rest."""
        whole = jaxprs.program(self.program)
        later = set(whole.arguments[len(arguments) :])
        first, second = [], []
        for equation in whole.equations:
            waits = equation.primitive is choice_p or any(
                not jaxprs.is_literal(atom) and atom in later for atom in equation.invars
            )
            (second if waits else first).append(equation)
            if waits:
                later.update(equation.outvars)
        read_later = [atom for equation in second for atom in equation.invars] + list(whole.outputs)
        kept = list(dict.fromkeys(a for a in read_later if not jaxprs.is_literal(a) and a not in later))

        @jax.jit
        def prefix(arguments):
            start = dict(zip(whole.inputs, [*whole.consts, *arguments], strict=False))
            return jaxprs.run_equations(first, start, kept)

        def suffix(residuals, tangents):
            start = dict(zip(kept, residuals, strict=False))
            start |= dict(zip(whole.arguments[len(arguments) :], tangents, strict=False))
            return jaxprs.run_equations(second, start, whole.outputs)

        tangents = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in whole.arguments[len(arguments) :]]
        closed, _ = jaxprs.trace(suffix, jax.eval_shape(prefix, arguments), tangents)
        free, constants = jaxprs.without_constants(closed)
        chosen: list[tuple | None] = []
        for equation in second:
            if equation.primitive is choice_p:
                chosen.append(tuple(equation.invars))
            else:
                chosen += [None] * sum(len(sites(inner)) for inner in inner_programs(equation))
        return SplitProgram(prefix, kept, constants, Derivative(free, self.sites, self.results), chosen)

    def _all(self, weights: list | None) -> list:
        return [None] * len(self.sites) if weights is None else weights


@dataclasses.dataclass(frozen=True)
class SplitProgram:
    """A derivative program in two: `prefix` gives the values `kept` for `rest`, the program with the choices."""

    prefix: Callable[[list], list]
    kept: list[Any]
    constants: list[Any]
    rest: Derivative
    chosen: list[tuple | None]  # the operands of each choice, where they are seen from outside

    def at(self, arguments: list) -> tuple[list, list[SiteRecord | None]]:
        """The arguments of `rest` at a point, and the records of those sites that are known from `prefix` alone."""
        residuals = self.prefix(arguments)
        known = dict(zip(self.kept, residuals, strict=False))

        def record(operands: tuple | None) -> SiteRecord | None:
            if operands is None:
                return None
            default, distance = [a.val if jaxprs.is_literal(a) else known.get(a) for a in operands]
            return None if default is None or distance is None else SiteRecord(default, distance)

        return [*self.constants, *residuals], [record(operands) for operands in self.chosen]


def linearise(program: Any, arguments: list[Any], moving: list[bool], reading: rewrite.Reading) -> Derivative:
    """The derivative program of a traced function in those arguments that are marked as `moving`.

    Where `reading.tol` is `None` it is the last of the arguments, after those of `program`.
    """

    def both(arguments, tangents):
        read = reading
        if reading.tol is None:
            *arguments, tol = arguments
            read = dataclasses.replace(reading, tol=tol)

        def value(*free):
            supply = iter(free)
            full = [next(supply) if moves else argument for moves, argument in zip(moving, arguments, strict=False)]
            return rewrite.evaluate_rewritten(program, full, moving, read)

        primals = [a for a, moves in zip(arguments, moving, strict=False) if moves]
        results, tangents_out = jax.jvp(value, primals, tangents)
        return results, custom.moving(results, tangents_out)

    tangents = [jnp.zeros_like(a) for a, moves in zip(arguments, moving, strict=False) if moves]
    closed, (results, tangents_out) = jaxprs.trace(both, arguments, tangents)
    closed = jaxprs.live(closed, [True] * (len(results) + len(tangents_out)))
    return Derivative(closed, tuple(sites(closed)), len(results))
