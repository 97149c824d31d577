"""Evaluate a JAX program with each of its kinks replaced by a piece that asks `choose` for its derivative.

The walk goes through `jit`, `scan`, `while_loop`, `cond`, `remat`, `custom_jvp` and `custom_vjp`. A `custom_jvp` whose
rule calls `choose` (a piece of this library, `icg.solve` included) keeps its value and its rule, and only learns the
line that called it. The rule of any other `custom_jvp` or `custom_vjp` is the author's word on the derivative, so it is
kept too: comparisons and signs inside the rule are its kinks, and the primal code is not looked into.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jax import lax
from jax import numpy as jnp

from ..base import jaxprs
from . import control, custom, markers, predicates
from .markers import Norm
from .native import REPLACEMENTS, is_float
from .predicates import Truth


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a program is read: `tol`, what counts as a tie (it may be traced); `reporting`, mark also what cannot be
    chosen; `in_rule`, the name of the user's custom function whose derivative rule this is, where a truth value is
    itself a slope; `caller`, the line that called what is read.
    """

    tol: Any = 0.0
    reporting: bool = False
    in_rule: str = ""
    caller: str = ""

    def place(self, equation: Any) -> str:
        """The user's line of an equation."""
        return jaxprs.location(equation, self.caller)

    def within(self, equation: Any) -> Reading:
        """How to read a program inside an equation."""
        return dataclasses.replace(self, caller=self.place(equation))


@dataclasses.dataclass(frozen=True)
class Note:
    """What is known of a value: whether it moves with the arguments, the weight of a truth value, a sum of squares."""

    moves: bool = True
    truth: Truth | None = None
    norm: Norm | None = None


STILL = Note(moves=False)
STRUCTURE = {**control.CONTROL_RULES, **custom.CUSTOM_RULES}


def evaluate_rewritten(jaxpr: Any, arguments: list[Any], moves: list[bool], reading: Reading) -> list[Any]:
    """The values of a program; its derivative is the one that `choose` is asked for.

    `moves` marks the arguments that are differentiated: a comparison of constants has no kink.
    """
    return _evaluate(jaxpr, arguments, [Note(moves=m) for m in moves], reading, {})[0]


def _evaluate(
    jaxpr: Any, arguments: list[Any], notes: list[Note], reading: Reading, seen: dict
) -> tuple[list[Any], list[Note]]:
    program = jaxprs.program(jaxpr)
    values = dict(zip(program.inputs, [*program.consts, *arguments], strict=True))
    known = dict(zip(program.arguments, notes, strict=True))

    def read(atom):
        return atom.val if jaxprs.is_literal(atom) else values[atom]

    def note(atom):
        return STILL if jaxprs.is_literal(atom) else known.get(atom, STILL)

    for equation in program.equations:
        operands, remarks = [read(atom) for atom in equation.invars], [note(atom) for atom in equation.invars]
        results, remarks = _equation(equation, operands, remarks, reading, seen)
        values.update(zip(equation.outvars, results, strict=True))
        known.update(zip(equation.outvars, remarks, strict=True))
    return [read(atom) for atom in program.outputs], [note(atom) for atom in program.outputs]


def _equation(
    equation: Any, operands: list[Any], notes: list[Note], reading: Reading, seen: dict
) -> tuple[list[Any], list[Note]]:
    name = equation.primitive.name
    if not any(note.moves for note in notes) or name == "stop_gradient":
        return jaxprs.bind(equation, *operands), [STILL] * len(equation.outvars)
    if name in control.CALLS:
        if equation.params.get("name") == "hypot" and not reading.in_rule:
            x, y = operands
            return [markers.hypotenuse(equation, reading.place(equation), x, y, reading.reporting)], [Note()]
        (inner,) = jaxprs.subprograms(equation)
        return _evaluate(inner, operands, notes, reading.within(equation), seen)
    truths = [note.truth for note in notes]
    if name in predicates.COMPARISONS:
        return _comparison(equation, operands, reading, seen)
    if name in predicates.SHAPE_CHANGES and truths[0] is not None:
        return jaxprs.bind(equation, *operands), [Note(truth=truths[0].through(equation, operands))]
    if name in predicates.LOGIC and any(truth is not None for truth in truths):
        return jaxprs.bind(equation, *operands), [Note(truth=predicates.combine(equation, operands, truths))]
    if name == "convert_element_type" and truths[0] is not None:
        return _truth_as_number(equation, operands, truths[0], reading)
    if name == "select_n" and truths[0] is not None and len(operands) == 3 and is_float(operands[1]):
        return [_select(equation, operands, truths[0], reading)], [Note()]
    squares = markers.squares(equation, operands, [note.norm for note in notes], [note.moves for note in notes])
    if squares is not None:
        return jaxprs.bind(equation, *operands), [Note(norm=squares)]
    return _rewritten(equation, operands, notes, reading), [Note()] * len(equation.outvars)


def _comparison(equation: Any, operands: list[Any], reading: Reading, seen: dict) -> tuple[list[Any], list[Note]]:
    """A comparison; the same one of the same values, met again, is the same kink."""
    key = (
        equation.primitive.name,
        *[_identity(atom, value) for atom, value in zip(equation.invars, operands, strict=False)],
    )
    if key not in seen:
        (answer,) = jaxprs.bind(equation, *operands)
        place = reading.place(equation)
        truth = predicates.compare(equation, reading.in_rule, reading.reporting, place, jnp.asarray(answer), *operands)
        seen[key] = answer, truth, operands  # the operands are kept so that their identity stays theirs
    answer, truth, _ = seen[key]
    return [answer], [Note(truth=truth)]


def _identity(atom: Any, value: Any) -> Any:
    return ("literal", str(value), str(atom.aval)) if jaxprs.is_literal(atom) else id(value)


def _truth_as_number(equation: Any, operands: list[Any], truth: Truth, reading: Reading) -> tuple[list[Any], list[Any]]:
    """A mask: `(x > 0) * x` takes the weight for the mask; an index of `cond` keeps it as a note."""
    dtype = equation.outvars[0].aval.dtype
    if jnp.issubdtype(dtype, jnp.floating) and not truth.equality:
        if reading.reporting and not reading.in_rule:
            truth = truth.chosen(reading.place(equation))
        return [lax.stop_gradient(truth.weight).astype(dtype)], [STILL]
    return jaxprs.bind(equation, *operands), [Note(truth=truth)]


def _select(equation: Any, operands: list[Any], truth: Truth, reading: Reading) -> Any:
    if reading.in_rule:
        _, otherwise, then = operands
        weight = jnp.broadcast_to(truth.weight, jnp.shape(then)).astype(then.dtype)
        return predicates.mix(weight, jnp.asarray(then), jnp.asarray(otherwise))
    where = reading.place(equation)
    return predicates.select(equation, where, reading.tol, reading.reporting, truth, operands)


def _rewritten(equation: Any, operands: list[Any], notes: list[Note], reading: Reading) -> list[Any]:
    name = equation.primitive.name
    if name in STRUCTURE:
        return STRUCTURE[name](equation, operands, notes, reading, evaluate_rewritten)
    if reading.in_rule:
        if name == "sign" and is_float(operands[0]):
            return [markers.sign_as_slope(reading.in_rule, reading.place(equation), operands[0])]
        return jaxprs.bind(equation, *operands)
    if name in REPLACEMENTS and operands and is_float(operands[0]):
        result = REPLACEMENTS[name](equation, reading.place(equation), *operands)
        return result if isinstance(result, list) else [result]
    if name == "sqrt" and notes[0].norm is not None:
        return [markers.euclidean(equation, reading.place(equation), operands[0], notes[0].norm, reading.reporting)]
    if reading.reporting and name in markers.MARKED and is_float(operands[0]):
        return markers.MARKED[name](equation, reading.place(equation), *operands)
    return jaxprs.bind(equation, *operands)
