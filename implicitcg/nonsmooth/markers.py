"""Places that a report names and no selection can mend: jumps, infinite slopes, repeated eigenvalues; and norms."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..base import jaxprs
from . import choice
from .native import is_float, piece


class Norm(NamedTuple):
    """A note on a value: `factor` times the sum over `axes` of the squares of `of` (`axes=None`: just the square)."""

    of: Any
    axes: tuple[int, ...] | None
    factor: Any


def squares(equation: Any, operands: list[Any], norms: list[Norm | None], moves: list[bool]) -> Norm | None:
    """Recognise `x * x`, `square(x)`, `x ** 2`, their sum, and a constant multiple of it."""
    name, result = equation.primitive.name, equation.outvars[0]
    if name == "select_n" and not moves[0] and sum(moves) == 1:
        return norms[moves.index(True)]  # a guard that does not depend on the arguments, as in `var`
    if not operands or not is_float(operands[0]) or not jnp.issubdtype(result.aval.dtype, jnp.floating):
        return None
    if name == "square" or (name == "integer_pow" and equation.params["y"] == 2):
        return Norm(operands[0], None, 1.0)
    if name == "mul" and equation.invars[0] is equation.invars[1]:
        return Norm(operands[0], None, 1.0)
    if name == "reduce_sum" and norms[0] is not None and norms[0].axes is None:
        return Norm(norms[0].of, tuple(equation.params["axes"]), norms[0].factor)
    if name in ("div", "mul") and norms[0] is not None and norms[0].axes is not None and not moves[1]:
        factor = norms[0].factor * operands[1] if name == "mul" else norms[0].factor / operands[1]
        return norms[0]._replace(factor=factor)
    return None


def euclidean(equation: Any, where: str, total: Array, note: Norm, reporting: bool) -> Array:
    """`sqrt` of a sum of squares: a Euclidean norm, whose gradient at the origin is any vector of the unit ball.

    JAX's own derivative there is NaN; the default here is 0, the centre of the ball.
    """
    if note.axes is None:
        of, name = note.of[..., None], "sqrt of a square"
    else:
        kept = [i for i in range(note.of.ndim) if i not in note.axes]
        of, name = jnp.transpose(note.of, (*kept, *note.axes)).reshape(*[note.of.shape[i] for i in kept], -1), "norm"
    scale = jnp.broadcast_to(jnp.sqrt(jnp.asarray(note.factor, of.dtype)), jnp.shape(total))

    def derivative(primals, tangents):
        (total, of, scale), (_, dof, _) = primals, tangents
        length = jaxprs.bind(equation, total)[0] / scale
        return scale * (direction(length, of, name, where, jnp.nan if reporting else 0.0) * dof).sum(-1)

    return piece(lambda total, of, scale: jaxprs.bind(equation, total)[0], derivative)(total, of, scale)


def hypotenuse(equation: Any, where: str, x: Array, y: Array, reporting: bool) -> Array:
    """`hypot(x, y)`, the norm of a pair."""
    shape = equation.outvars[0].aval.shape
    x, y = (jnp.broadcast_to(jnp.asarray(part), shape) for part in (x, y))
    with jax.ensure_compile_time_eval():
        at_origin = float(jax.grad(jnp.hypot)(0.0, 0.0)) if reporting else 0.0  # NaN or not by version of JAX

    def derivative(primals, tangents):
        length = jaxprs.bind(equation, *primals)[0]
        pair, dpair = (jnp.stack(parts, -1) for parts in (primals, tangents))
        return (direction(length, pair, "hypot", where, at_origin) * dpair).sum(-1)

    return piece(lambda x, y: jaxprs.bind(equation, x, y)[0], derivative)(x, y)


def direction(length: Array, of: Array, name: str, where: str, at_origin: float | Array = 0.0) -> Array:
    """`of / |of|` along the last axis; at the origin an element of the unit ball, `at_origin` by default.

    A report says what JAX does there, which is to return NaN.
    """
    safe = jnp.where(length == 0, jnp.ones_like(length), length)
    unit = of / jnp.broadcast_to(safe[..., None], of.shape)
    empty = jnp.broadcast_to((length == 0)[..., None], of.shape)
    unit = jnp.where(empty, jnp.asarray(at_origin, of.dtype), unit)
    # A choice has derivative zero, but away from the origin the direction turns: keep its derivative for the Hessian.
    return unit + (choice.choose_ball(unit, length, name=name, where=where) - lax.stop_gradient(unit))


def _marked(results: list[Array], distance: Array, name: str, kind: str, where: str) -> list[Array]:
    """The same values and derivatives, with a note in the derivative program."""

    def mark(result):
        near = jnp.broadcast_to(distance, result.shape).astype(result.dtype)

        def derivative(primals, tangents):
            (_, near), (dresult, _) = primals, tangents
            return dresult * choice.report_choice(jnp.ones_like(near), near, name=name, kind=kind, where=where)

        return piece(lambda result, near: result, derivative)(result, lax.stop_gradient(near))

    return [mark(result) if is_float(result) else result for result in results]


def _jump(equation: Any, where: str, x: Array, distance: Any, slope: float = 0.0) -> list[Array]:
    """A step function: derivative zero, but present, so that the report sees it."""
    name = equation.primitive.name

    def derivative(primals, tangents):
        ((x,), (dx,)) = primals, tangents
        return dx * choice.report_choice(jnp.full_like(x, slope), distance(x), name=name, kind="jump", where=where)

    return [piece(lambda x: jaxprs.bind(equation, x)[0], derivative)(x)]


def _sqrt(equation: Any, where: str, x: Array) -> list[Array]:
    def derivative(primals, tangents):
        ((x,), (dx,)) = primals, tangents
        slope = 0.5 / jnp.sqrt(x)
        return dx * choice.report_choice(slope, jnp.abs(x), name="sqrt", kind="unbounded", where=where)

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
