"""Evaluate a JAX program with each of its kinks replaced by a piece that asks `choose` for its derivative.

The walk goes through `jit`, `scan`, `while_loop`, `cond`, `remat`, `custom_jvp` and `custom_vjp`. A `custom_jvp` whose
rule calls `choose` (a piece of this library, `icg.solve` included) keeps its value and its rule, and only learns the
line that called it. The rule of any other `custom_jvp` or `custom_vjp` is the author's word on the derivative, so it is
kept too: comparisons and signs inside the rule are its kinks, and the primal code is not looked into.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jax import lax, numpy as jnp

from ..base import jaxprs
from . import control, custom, markers, predicates
from .markers import Norm
from .native import REPLACEMENTS, is_float
from .predicates import Truth


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a program is read: `tol`, what counts as a tie; `reporting`, mark also what cannot be chosen; `in_rule`,
    whether this is the derivative rule of a user's custom function, where a truth value is itself a slope."""

    tol: float = 0.0
    reporting: bool = False
    in_rule: str = ""


STRUCTURE = {**control.RULES, **custom.RULES}
INTERESTING = set(REPLACEMENTS) | set(STRUCTURE) | {"select_n", "sqrt"} | set(markers.MARKED)


def interesting(jaxpr: Any) -> bool:
    """Whether anything in a program, at any depth, may be a kink."""
    for equation in jaxprs.program(jaxpr).equations:
        if equation.primitive.name in INTERESTING or any(interesting(inner) for inner in jaxprs.subprograms(equation)):
            return True
    return False


def evaluate(jaxpr: Any, arguments: list[Any], reading: Reading) -> list[Any]:
    """The values of a program; its derivative is the one that `choose` is asked for."""
    return _evaluate(jaxpr, arguments, [None] * len(arguments), reading)[0]


def _evaluate(jaxpr: Any, arguments: list[Any], notes: list[Any], reading: Reading) -> tuple[list[Any], list[Any]]:
    program = jaxprs.program(jaxpr)
    values = dict(zip(program.inputs, [*program.consts, *arguments], strict=True))
    known = dict(zip(program.arguments, notes, strict=True))

    def read(atom):
        return atom.val if jaxprs.is_literal(atom) else values[atom]

    def note(atom):
        return None if jaxprs.is_literal(atom) else known.get(atom)

    for equation in program.equations:
        operands = [read(atom) for atom in equation.invars]
        results, remarks = _equation(equation, operands, [note(atom) for atom in equation.invars], reading)
        values.update(zip(equation.outvars, results, strict=True))
        known.update((v, remark) for v, remark in zip(equation.outvars, remarks) if remark is not None)
    return [read(atom) for atom in program.outputs], [note(atom) for atom in program.outputs]


def _equation(equation: Any, operands: list[Any], notes: list[Any], reading: Reading) -> tuple[list[Any], list[Any]]:
    name = equation.primitive.name
    noted = any(note is not None for note in notes)
    if name in control.CALLS:
        (inner,) = jaxprs.subprograms(equation)
        if noted or interesting(inner) or _notable(inner):
            return _evaluate(inner, operands, notes, reading)
    if name in predicates.COMPARISONS:
        (answer,) = jaxprs.bind(equation, *operands)
        place = jaxprs.location(equation)
        return [answer], [predicates.compare(equation, reading.in_rule, place, jnp.asarray(answer), *operands)]
    if noted and name in predicates.SHAPE_CHANGES and isinstance(notes[0], Truth):
        return jaxprs.bind(equation, *operands), [notes[0].through(equation, operands)]
    if name in predicates.LOGIC and any(isinstance(note, Truth) for note in notes):
        truths = [note if isinstance(note, Truth) else None for note in notes]
        return jaxprs.bind(equation, *operands), [predicates.combine(equation, operands, truths)]
    if name == "convert_element_type" and isinstance(notes[0], Truth):
        return _truth_as_number(equation, operands, notes[0])
    if name == "select_n" and isinstance(notes[0], Truth) and len(operands) == 3 and is_float(operands[1]):
        return [_select(equation, operands, notes[0], reading)], [None]
    squares = markers.squares(equation, operands, notes)
    if squares is not None:
        return jaxprs.bind(equation, *operands), [squares]
    return _rewritten(equation, operands, notes, reading), [None] * len(equation.outvars)


def _notable(jaxpr: Any) -> bool:
    """Whether a call may leave a note on its result: a comparison, or a sum of squares."""
    names = {equation.primitive.name for equation in jaxprs.program(jaxpr).equations}
    return bool(names & (set(predicates.COMPARISONS) | {"square", "integer_pow", "mul", "reduce_sum"}))


def _truth_as_number(equation: Any, operands: list[Any], truth: Truth) -> tuple[list[Any], list[Any]]:
    """A mask: `(x > 0) * x` takes the weight for the mask; an index of `cond` keeps it as a note."""
    dtype = equation.outvars[0].aval.dtype
    if jnp.issubdtype(dtype, jnp.floating) and not truth.equality:
        return [lax.stop_gradient(truth.weight).astype(dtype)], [None]
    return jaxprs.bind(equation, *operands), [truth]


def _select(equation: Any, operands: list[Any], truth: Truth, reading: Reading) -> Any:
    if reading.in_rule:
        _, otherwise, then = operands
        weight = jnp.broadcast_to(truth.weight, jnp.shape(then)).astype(then.dtype)
        return predicates.mix(weight, jnp.asarray(then), jnp.asarray(otherwise))
    where = jaxprs.location(equation)
    return predicates.select(equation, where, reading.tol, reading.reporting, truth, operands)


def _rewritten(equation: Any, operands: list[Any], notes: list[Any], reading: Reading) -> list[Any]:
    name = equation.primitive.name
    if name in STRUCTURE:
        return STRUCTURE[name](equation, operands, notes, reading, evaluate)
    if reading.in_rule:
        if name == "sign" and is_float(operands[0]):
            return [markers.sign_as_slope(reading.in_rule, jaxprs.location(equation), operands[0])]
        return jaxprs.bind(equation, *operands)
    if name in REPLACEMENTS and operands and is_float(operands[0]):
        result = REPLACEMENTS[name](equation, jaxprs.location(equation), *operands)
        return result if isinstance(result, list) else [result]
    if name == "sqrt" and isinstance(notes[0], Norm):
        return [markers.euclidean(equation, jaxprs.location(equation), operands[0], notes[0], reading.reporting)]
    if reading.reporting and name in markers.MARKED and is_float(operands[0]):
        return markers.MARKED[name](equation, jaxprs.location(equation), *operands)
    return jaxprs.bind(equation, *operands)


