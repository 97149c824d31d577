"""Comparisons as kinks: a truth value travels with a weight in [0, 1], and `select` mixes its branches by it.

`where(x > 0, a, b)` is one selection of a piecewise program. Its tie is where the comparison changes its answer, and it
is a kink when both branches agree there; otherwise it is a jump (or a branch kept apart by a guard) and stays as it is.
All uses of one comparison share one weight, so no mixed-up branch is invented.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..base import jaxprs
from . import choice
from .native import is_float, mix, piece


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known of a truth value: its weight, the distance to the comparison's tie, whether it was `==` or `!=`."""

    weight: Array
    distance: Array
    name: str
    equality: bool

    def chosen(self, where: str) -> Truth:
        """The same with its weight open to choice."""
        weight = choice.choose(self.weight, self.distance, name=self.name, where=where)
        return dataclasses.replace(self, weight=weight)

    def through(self, equation: Any, operands: list[Any]) -> Truth:
        """The same after a change of shape."""
        rest = operands[1:]
        weight, distance = (jaxprs.bind(equation, part, *rest)[0] for part in (self.weight, self.distance))
        return dataclasses.replace(self, weight=weight, distance=distance)


COMPARISONS = {"gt": ">", "lt": "<", "ge": ">=", "le": "<=", "eq": "==", "ne": "!="}
SHAPE_CHANGES = {"broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "expand_dims", "rev", "copy"}
LOGIC = {"and", "or", "not", "xor", "reduce_and", "reduce_or"}


def compare(equation: Any, rule: str, reporting: bool, where: str, answer: Array, x: Any, y: Any) -> Truth | None:
    """The weight of a comparison of floating-point numbers; `None` for anything else.

    `rule` names the function whose derivative rule is being read, or is empty. In a rule `==` only guards a division.
    For a report the choice is noted where the answer is used, since a comparison used nowhere is no kink.
    """
    name = equation.primitive.name
    if not (is_float(x) and is_float(y)) or (rule and name in ("eq", "ne")):
        return None
    if equation.invars[0] is equation.invars[1]:
        return None  # x != x asks for NaN
    dtype = jnp.result_type(x, y)
    x, y = (lax.stop_gradient(jnp.asarray(operand, dtype)) for operand in (x, y))
    shape = jnp.shape(answer)
    distance = jnp.abs(jnp.broadcast_to(x, shape) - jnp.broadcast_to(y, shape))
    # inf - inf: two equal infinities (padding, masks) are no kink
    distance = jnp.where(jnp.isnan(distance), jnp.inf, distance)
    truth = Truth(answer.astype(dtype), distance, rule or f"where {COMPARISONS[name]}", name in ("eq", "ne"))
    return truth if reporting and not rule else truth.chosen(where)


def combine(equation: Any, answers: list[Any], truths: list[Truth | None]) -> Truth | None:
    """Logic on weights: a product for `and`, one minus for `not`; exact at the vertices."""
    name = equation.primitive.name
    known = [truth for truth in truths if truth is not None]
    dtype = known[0].weight.dtype
    shape = equation.outvars[0].aval.shape
    weights, distances = [], []
    for answer, truth in zip(answers, truths, strict=False):
        weight = jnp.asarray(answer).astype(dtype) if truth is None else truth.weight
        distance = jnp.full_like(weight, jnp.inf) if truth is None else truth.distance.astype(dtype)
        if not name.startswith("reduce"):
            weight, distance = jnp.broadcast_to(weight, shape), jnp.broadcast_to(distance, shape)
        weights.append(weight)
        distances.append(distance)
    axes = equation.params.get("axes")
    if name == "not":
        weight, distance = 1 - weights[0], distances[0]
    elif name == "and":
        weight, distance = weights[0] * weights[1], jnp.minimum(*distances)
    elif name == "or":
        weight, distance = 1 - (1 - weights[0]) * (1 - weights[1]), jnp.minimum(*distances)
    elif name == "xor":
        weight = weights[0] * (1 - weights[1]) + weights[1] * (1 - weights[0])
        distance = jnp.minimum(*distances)
    elif name == "reduce_and":
        weight, distance = jnp.prod(weights[0], axis=axes), jnp.min(distances[0], axis=axes)
    else:
        weight, distance = 1 - jnp.prod(1 - weights[0], axis=axes), jnp.min(distances[0], axis=axes)
    return Truth(weight, distance, known[0].name, all(truth.equality for truth in known))


def select(equation: Any, where: str, tol: float | Array, reporting: bool, truth: Truth, operands: list[Any]) -> Array:
    """`select_n(condition, otherwise, then)` whose tangent is mixed by the weight where the branches agree."""
    condition, otherwise, then = operands
    shape = jnp.shape(then)
    dtype = then.dtype
    spread = lambda part: jnp.broadcast_to(part, shape).astype(dtype)  # noqa: E731  (scalar condition, array branches)
    hard, soft, distance = spread(condition), spread(truth.weight), spread(truth.distance)

    def derivative(primals, tangents):
        (hard, soft, distance, tol, otherwise, then), (*_, dotherwise, dthen) = primals, tangents
        meet = agree(then, otherwise, tol)
        if reporting:
            soft = choice.choose(soft, jnp.where(meet, distance, jnp.inf), name=truth.name, where=where)
            if not truth.equality:
                apart = jnp.where(meet, jnp.inf, distance)
                soft = soft * choice.report_choice(
                    jnp.ones_like(then), apart, name=truth.name, kind="jump", where=where
                )
        return mix(jnp.where(meet, soft, hard), dthen, dotherwise)

    def value(hard, soft, distance, tol, otherwise, then):
        return jnp.where(hard == 1, then, otherwise)

    parts = [lax.stop_gradient(part) for part in (hard, soft, distance, jnp.asarray(tol, dtype))]
    return piece(value, derivative)(*parts, jnp.asarray(otherwise), jnp.asarray(then))


def agree(a: Array, b: Array, tol: float | Array) -> Array:
    """Whether two branches meet: within `tol`, or within the rounding of a few operations."""
    rounding = 16 * np.finfo(a.dtype).eps * jnp.maximum(jnp.maximum(jnp.abs(a), jnp.abs(b)), 1)
    return (a == b) | (jnp.abs(a - b) <= jnp.maximum(rounding, tol))
