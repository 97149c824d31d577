"""Places that a report names and no selection can mend: jumps, infinite slopes, repeated eigenvalues; and norms."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from ..base import jaxprs
from . import choice
from .native import is_float, piece


class Norm(NamedTuple):
    """A note on a value: it is `factor` times the sum over `axes` of the squares of `of` (`axes=None`: just the square)."""

    of: Any
    axes: tuple[int, ...] | None
    factor: Any


def squares(equation: Any, operands: list[Any], notes: list[Any]) -> Norm | None:
    """Recognise `x * x`, `square(x)`, `x ** 2`, their sum, and a constant multiple of it."""
    name, result = equation.primitive.name, equation.outvars[0]
    if not operands or not is_float(operands[0]) or not jnp.issubdtype(result.aval.dtype, jnp.floating):
        return None
    if name == "square" or (name == "integer_pow" and equation.params["y"] == 2):
        return Norm(operands[0], None, 1.0)
    if name == "mul" and equation.invars[0] is equation.invars[1]:
        return Norm(operands[0], None, 1.0)
    if name == "reduce_sum" and isinstance(notes[0], Norm) and notes[0].axes is None:
        return Norm(notes[0].of, tuple(equation.params["axes"]), notes[0].factor)
    if name in ("div", "mul") and isinstance(notes[0], Norm) and jaxprs.is_literal(equation.invars[1]):
        constant = operands[1]
        return notes[0]._replace(factor=notes[0].factor * constant if name == "mul" else notes[0].factor / constant)
    return None


def euclidean(equation: Any, where: str, total: Array, note: Norm, reporting: bool) -> Array:
    """`sqrt` of a sum of squares: a Euclidean norm, whose gradient at the origin is any vector of the unit ball.

    JAX's own derivative there is NaN; the default here is 0, the centre of the ball.
    """
    if note.axes is None:
        of, name = note.of[..., None], "sqrt of a square"
    else:
        kept = [i for i in range(note.of.ndim) if i not in note.axes]
        of = jnp.transpose(note.of, (*kept, *note.axes)).reshape(*[note.of.shape[i] for i in kept], -1)
        name = "norm"

    def value(total, of):
        return jaxprs.bind(equation, total)[0]

    def derivative(primals, tangents):
        (total, of), (_, dof) = primals, tangents
        return (direction(value(total, of), of, name, where, jnp.sqrt(note.factor), reporting) * dof).sum(-1)

    return piece(value, derivative)(total, of)


def direction(length: Array, of: Array, name: str, where: str, scale: Any, reporting: bool = False) -> Array:
    """`scale * of / |of|` along the last axis, an element of the ball of radius `scale` at the origin."""
    scale = jnp.asarray(scale, of.dtype)
    at_origin = (length == 0)[..., None]
    safe = jnp.where(length == 0, jnp.ones_like(length), length)[..., None]
    unit = scale * of / jnp.broadcast_to(safe / scale, of.shape)
    nothing = jnp.nan if reporting else 0.0  # a report says what JAX does, which is to return NaN
    unit = jnp.where(jnp.broadcast_to(at_origin, of.shape), jnp.asarray(nothing, of.dtype), unit / scale)
    return scale * choice.choose_ball(unit, length / scale, name=name, where=where)


def _marked(results: list[Array], distance: Array, name: str, kind: str, where: str) -> list[Array]:
    """The same values and derivatives, with a note in the derivative program."""

    def mark(result):
        near = jnp.broadcast_to(distance, result.shape).astype(result.dtype)

        def derivative(primals, tangents):
            (_, near), (dresult, _) = primals, tangents
            return dresult * choice.report(jnp.ones_like(near), near, name=name, kind=kind, where=where)

        return piece(lambda result, near: result, derivative)(result, lax.stop_gradient(near))

    return [mark(result) if is_float(result) else result for result in results]


def _jump(equation: Any, where: str, x: Array, distance: Any, slope: float = 0.0) -> list[Array]:
    """A step function: derivative zero, but present, so that the report sees it."""
    name = equation.primitive.name

    def derivative(primals, tangents):
        ((x,), (dx,)) = primals, tangents
        return dx * choice.report(jnp.full_like(x, slope), distance(x), name=name, kind="jump", where=where)

    return [piece(lambda x: jaxprs.bind(equation, x)[0], derivative)(x)]


def _sqrt(equation: Any, where: str, x: Array) -> list[Array]:
    def derivative(primals, tangents):
        ((x,), (dx,)) = primals, tangents
        slope = 0.5 / jnp.sqrt(x)
        return dx * choice.report(slope, jnp.abs(x), name="sqrt", kind="unbounded", where=where)

    return [piece(lambda x: jaxprs.bind(equation, x)[0], derivative)(x)]


def _spectrum(equation: Any, where: str, *operands: Array) -> list[Array]:
    results = jaxprs.bind(equation, *operands)
    # eigh returns (vectors, values), svd (values, left, right): the values are one axis short of the vectors
    rank = min(result.ndim for result in results)
    values = next(result for result in results if result.ndim == rank)
    gap = jnp.abs(jnp.diff(lax.stop_gradient(values), axis=-1))
    nearest = gap.min(-1) if gap.shape[-1] else jnp.full(gap.shape[:-1], jnp.inf, gap.dtype)
    marked = []
    for result in results:
        distance = nearest.reshape(nearest.shape + (1,) * (result.ndim - nearest.ndim))
        marked += _marked([result], distance, equation.primitive.name, "multiplicity", where)
    return marked


def sign_as_slope(rule: str, where: str, x: Array) -> Array:
    """`sign(x)` inside a derivative rule: `2 w - 1`, zero at the tie by default."""
    default = (jnp.sign(x) + 1) / 2
    return 2 * choice.choose(default, jnp.abs(x), name=rule, where=where) - 1


MARKED = {
    "sign": lambda e, where, x: _jump(e, where, x, jnp.abs),
    "floor": lambda e, where, x: _jump(e, where, x, lambda x: jnp.abs(x - jnp.round(x))),
    "ceil": lambda e, where, x: _jump(e, where, x, lambda x: jnp.abs(x - jnp.round(x))),
    "round": lambda e, where, x: _jump(e, where, x, lambda x: jnp.abs(x - jnp.floor(x) - 0.5)),
    "sqrt": _sqrt,
    "eigh": _spectrum,
    "svd": _spectrum,
}
