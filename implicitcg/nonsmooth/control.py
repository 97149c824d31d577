"""Loops, branches and checkpoints, rebuilt around a rewritten body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from ..base import jaxprs

CALLS = {"jit", "pjit", "closed_call", "core_call"}  # these are written out in place


def cast_like(values: list[Any], atoms: list[Any]) -> list[Any]:
    """Results in the dtypes that the loop or branch declares."""
    return [jnp.asarray(value, atom.aval.dtype) for value, atom in zip(values, atoms, strict=False)]


def scan(equation: Any, operands: list, notes: list, reading: Any, evaluate: Callable) -> list[Any]:
    """`scan`; every step has kinks of its own."""
    parameters = equation.params
    constants, carried = jaxprs.scan_layout(equation)
    body = parameters["jaxpr"]
    consts, init, xs = operands[:constants], operands[constants : constants + carried], operands[constants + carried :]
    outputs = jaxprs.program(body).outputs

    moves = [note.moves for note in notes]
    moves[constants : constants + carried] = [True] * carried  # what is carried may come to move

    def step(carry, x):
        results = cast_like(evaluate(body, [*consts, *carry, *x], moves, reading.within(equation)), outputs)
        return results[:carried], results[carried:]

    options = {key: parameters[key] for key in ("length", "reverse", "unroll")}
    carry, ys = lax.scan(step, cast_like(init, outputs), xs, **options)
    return [*carry, *ys]


def through_while(equation: Any, operands: list, notes: list, reading: Any, evaluate: Callable) -> list[Any]:
    """`through_while`; when to stop is not differentiated, so its comparison is no kink."""
    parameters = equation.params
    body, condition = parameters["body_jaxpr"], parameters["cond_jaxpr"]
    of_condition, of_body = parameters["cond_nconsts"], parameters["body_nconsts"]
    condition_consts, rest = operands[:of_condition], operands[of_condition:]
    body_consts, init = rest[:of_body], rest[of_body:]
    outputs = jaxprs.program(body).outputs

    def proceed(carry):
        return jaxprs.run_program(condition, [*condition_consts, *carry])[0]

    moves = [note.moves for note in notes[of_condition:]]
    moves[of_body:] = [True] * len(init)

    def step(carry):
        return cast_like(evaluate(body, [*body_consts, *carry], moves, reading.within(equation)), outputs)

    return list(lax.while_loop(proceed, step, cast_like(init, outputs)))


def cond(equation: Any, operands: list, notes: list, reading: Any, evaluate: Callable) -> list[Any]:
    """`cond`, `switch`; the branch follows the weight of the comparison, so that a tie can take the other one."""
    index, *rest = operands
    branches = equation.params["branches"]
    moves = [note.moves for note in notes[1:]]
    if notes[0].truth is not None and len(branches) == 2:
        truth = notes[0].truth.chosen(reading.place(equation)) if reading.reporting else notes[0].truth
        index = (truth.weight > 0.5).astype(jnp.int32)

    def branch(jaxpr):
        outputs = jaxprs.program(jaxpr).outputs
        return lambda *values: cast_like(evaluate(jaxpr, list(values), moves, reading.within(equation)), outputs)

    return list(lax.switch(index, [branch(jaxpr) for jaxpr in branches], *rest))


def remat(equation: Any, operands: list, notes: list, reading: Any, evaluate: Callable) -> list[Any]:
    """`jax.checkpoint`, with the same policy."""
    inner = equation.params["jaxpr"]
    options = {key: equation.params[key] for key in ("prevent_cse", "policy")}
    moves = [note.moves for note in notes]
    return list(
        jax.checkpoint(lambda *values: evaluate(inner, list(values), moves, reading.within(equation)), **options)(
            *operands
        )
    )


CONTROL_RULES = {
    "scan": scan,
    "while": through_while,
    "cond": cond,
    "checkpoint": remat,
    "remat": remat,
    "remat2": remat,
}
