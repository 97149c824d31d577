"""`custom_jvp` and `custom_vjp`: the rule that was written is the derivative, and its comparisons are the kinks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.dtypes import float0

from ..base import jaxprs
from .choice import choice_p
from .control import CALLS


def moves(x: Any) -> bool:
    """Whether a value has a derivative at all."""
    return jnp.issubdtype(x.dtype if hasattr(x, "dtype") else np.result_type(x), jnp.inexact)


def fill(values: Any, tangents: list[Any]) -> list[Any]:
    """Tangents of all values from those of the values that move; the others have none (dtype float0)."""
    supply = iter(tangents)
    return [next(supply) if moves(value) else np.zeros(np.shape(value), float0) for value in values]


def moving(values: Any, tangents: Any) -> list[Any]:
    """The tangents of the values that move."""
    return [tangent for value, tangent in zip(values, tangents, strict=True) if moves(value)]


def custom_jvp(equation: Any, operands: list, notes: list, reading: Any, evaluate: Callable) -> list[Any]:
    """A `custom_jvp` call with the same value and the same rule, the rule's kinks made visible."""

    def directional(primals, tangents):
        primals_out, tangents_out = jax.jvp(_call(equation), primals, fill(primals, tangents))
        return primals_out, moving(primals_out, tangents_out)

    return _with_rule(equation, operands, directional, reading, evaluate)


def custom_vjp(equation: Any, operands: list, notes: list, reading: Any, evaluate: Callable) -> list[Any]:
    """A `custom_vjp` call as a function with a forward derivative: the transpose of its linear reverse rule."""
    closed_over = equation.params["num_consts"]  # JAX differentiates a custom_vjp in its arguments only

    def pull(primals, cotangents):
        constants, free = primals[:closed_over], primals[closed_over:]
        primals_out, pullback = jax.vjp(lambda *free: _call(equation)(*constants, *free), *free)
        return moving(free, pullback(fill(primals_out, cotangents)))

    def directional(primals, tangents):
        primals_out = _call(equation)(*primals)
        shapes = [value for value in primals_out if moves(value)]
        program, _ = jaxprs.trace(pull, primals, shapes)

        def reverse(cotangents):
            return _read(program, [*primals, *cotangents], equation, reading, evaluate)

        used = tangents[len(moving(primals[:closed_over], primals[:closed_over])) :]
        (tangents_out,) = jax.linear_transpose(reverse, shapes)(used)
        return primals_out, tangents_out

    return _with_rule(equation, operands, directional, reading, evaluate)


def _call(equation: Any) -> Callable[..., list[Any]]:
    return lambda *values: jaxprs.bind(equation, *values)


def _with_rule(equation, operands, directional, reading, evaluate) -> list[Any]:
    if reading.in_rule or not any(moves(operand) for operand in operands):
        return jaxprs.bind(equation, *operands)
    function = jax.custom_jvp(_call(equation))

    @function.defjvp
    def rule(primals, tangents):
        primals, tangents = list(primals), moving(primals, tangents)
        program, shapes = jaxprs.trace(directional, primals, tangents)
        results = _read(program, [*primals, *tangents], equation, reading, evaluate)
        primals_out, tangents_out = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shapes), results)
        return primals_out, fill(primals_out, tangents_out)

    return list(function(*operands))


def _read(program: Any, arguments: list[Any], equation: Any, reading: Any, evaluate: Callable) -> list[Any]:
    """A traced rule: a library piece as it stands, labelled by its caller; a user's with its comparisons as kinks."""
    if asks(program):
        return labelled(program, arguments, reading.place(equation))
    in_rule = dataclasses.replace(reading.within(equation), in_rule=jaxprs.function_name(equation))
    return evaluate(program, arguments, [True] * len(arguments), in_rule)


def asks(jaxpr: Any) -> bool:
    """Whether a program asks `choose`, at any depth."""
    return any(
        equation.primitive is choice_p or any(asks(inner) for inner in jaxprs.subprograms(equation))
        for equation in jaxprs.program(jaxpr).equations
    )


def labelled(jaxpr: Any, arguments: list[Any], where: str) -> list[Any]:
    """Evaluate a program whose choices are to be reported at the line `where` of its caller."""

    def visit(equation, *operands):
        if equation.primitive is choice_p and not equation.params["where"]:
            return [choice_p.bind(*operands, **{**equation.params, "where": where})]
        if equation.primitive.name in CALLS:
            (inner,) = jaxprs.subprograms(equation)
            return labelled(inner, list(operands), where) if asks(inner) else jaxprs.bind(equation, *operands)
        return jaxprs.bind(equation, *operands)

    return jaxprs.run_program(jaxpr, arguments, visit)


CUSTOM_RULES = {"custom_jvp_call": custom_jvp, "custom_vjp_call": custom_vjp, "custom_vjp_call_jaxpr": custom_vjp}
