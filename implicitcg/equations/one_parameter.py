"""How a problem follows one number `t`, read from its program: constant, `a + b t`, or `k exp(a + b t)`.

A path of a LASSO is known as a whole where its penalties are `c(t) v` for *all* `t`. No number of values shows that: a
floor, a step or a clip agrees with an exponential at any points that one cares to look at, and differs beyond. So the
function of the user is traced, and its program is read one operation after the other. What the rules below know is
proven; whatever else `t` reaches (a `max`, a `where`, a rounding, a rule of derivatives of the user's own) is unread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..base import concrete_value, jaxprs

INLINED = frozenset({"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"})  # read as if inlined
REFUSALS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


@dataclass(frozen=True)
class LineForm:
    """`offset + rate t`, two arrays of one shape."""

    offset: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True)
class ExponentialForm:
    """`factor exp(offset + rate t)`, three arrays of one shape. The factor may have any sign, or be zero."""

    factor: np.ndarray
    offset: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True)
class Unread:
    """What `t` reaches in a way that is not known here."""


UNREAD = Unread()
Form = LineForm | ExponentialForm | Unread


def read(function: Callable[[Any], Any], t: Any) -> Any:
    """`function(t)` for all `t`: its tree with a form (a line, an exponential, unread) where an array depends on `t`.

    Arrays that do not are themselves. `None` where the function wants to know its argument's value, by an `if` of
    Python or a call of NumPy, and so has no program. Of `t`, a number, only the dtype counts.
    """
    rest: list[Any] = []

    def arrays(t: Any) -> Any:
        traced, others = eqx.partition(function(t), eqx.is_array)
        rest.append(others)
        return traced

    try:
        with jax.ensure_compile_time_eval():  # what does not depend on `t` is computed, not traced
            closed, shapes = jaxprs.trace(arrays, t)
    except REFUSALS:
        return None
    found = _run(closed, [LineForm(np.zeros(()), np.ones(()))])
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(shapes), found), rest[-1])


def _run(jaxpr: Any, arguments: Sequence[Any]) -> list[Any]:
    return jaxprs.run_program(jaxpr, arguments, _visit)


def _visit(equation: Any, *operands: Any) -> list[Any]:
    """The forms of an equation's results."""
    if not any(isinstance(operand, Form) for operand in operands):
        with jax.ensure_compile_time_eval():
            return jaxprs.bind(equation, *operands)
    name = equation.primitive.name
    if name in INLINED:
        return _run(next(jaxprs.subprograms(equation)), operands)
    rule, unread = RULES.get(name), [UNREAD] * len(equation.outvars)
    if rule is None or any(operand is UNREAD for operand in operands):
        return unread
    numbers = [operand if isinstance(operand, Form) else _number(operand) for operand in operands]
    if any(number is None for number in numbers):
        return unread
    return [rule(equation, *numbers)]


def _number(value: Any) -> np.ndarray | None:
    """A constant in double precision; `None` where it is known to an outer transformation only, or is no number."""
    value = concrete_value(value)
    if value is None or not jnp.issubdtype(jnp.result_type(value), jnp.number):
        return None
    return np.asarray(value, np.float64)


def _spread(*parts: Any) -> list[np.ndarray]:
    return [np.array(part) for part in np.broadcast_arrays(*parts)]


def _multiply(_: Any, a: Any, b: Any) -> Form:
    if isinstance(a, np.ndarray):
        a, b = b, a
    match a, b:
        case LineForm(), np.ndarray():
            return LineForm(a.offset * b, a.rate * b)
        case ExponentialForm(), np.ndarray():
            return ExponentialForm(*_spread(a.factor * b, a.offset, a.rate))
        case ExponentialForm(), ExponentialForm():
            return ExponentialForm(a.factor * b.factor, a.offset + b.offset, a.rate + b.rate)
    return UNREAD


def _divide(equation: Any, a: Any, b: Any) -> Form:
    if isinstance(b, ExponentialForm):
        b = _power(equation, b, np.array(-1.0)) if (b.factor > 0).all() else UNREAD
    elif isinstance(b, np.ndarray):
        if not b.all():
            return UNREAD
        return (
            LineForm(a.offset / b, a.rate / b) if isinstance(a, LineForm) else _multiply(equation, a, np.asarray(1 / b))
        )
    return UNREAD if isinstance(b, LineForm | Unread) else _multiply(equation, a, b)


def _add(_: Any, a: Any, b: Any) -> Form:
    if isinstance(a, np.ndarray):
        a, b = b, a
    match a, b:
        case LineForm(), np.ndarray():
            return LineForm(*_spread(a.offset + b, a.rate))
        case LineForm(), LineForm():
            return LineForm(a.offset + b.offset, a.rate + b.rate)
        case ExponentialForm(), np.ndarray() if not b.any():
            return ExponentialForm(*_spread(a.factor + b, a.offset, a.rate))
        case ExponentialForm(), ExponentialForm() if np.array_equal(a.rate, b.rate) and np.array_equal(
            a.offset, b.offset
        ):
            return ExponentialForm(a.factor + b.factor, a.offset, a.rate)
    return UNREAD


def _negate(_: Any, a: Any) -> Form:
    return LineForm(-a.offset, -a.rate) if isinstance(a, LineForm) else ExponentialForm(-a.factor, a.offset, a.rate)


def _subtract(equation: Any, a: Any, b: Any) -> Form:
    return _add(equation, a, np.asarray(-b) if isinstance(b, np.ndarray) else _negate(equation, b))


def _exponential(base: float) -> Callable[..., Form]:
    """The rule of `base ** a`."""

    def rule(_: Any, a: Any) -> Form:
        if not isinstance(a, LineForm):
            return UNREAD
        return ExponentialForm(np.ones_like(a.rate), np.log(base) * a.offset, np.log(base) * a.rate)

    return rule


def _logarithm(_: Any, a: Any) -> Form:
    if not isinstance(a, ExponentialForm) or not (a.factor > 0).all():
        return UNREAD
    return LineForm(np.log(a.factor) + a.offset, a.rate)


def _power(equation: Any, a: Any, b: Any) -> Form:
    """`a ** b`: a positive constant to a line, or an exponential with a positive factor to a constant."""
    match a, b:
        case np.ndarray(), LineForm() if (a > 0).all():
            return _exponential(np.e)(equation, _multiply(equation, b, np.asarray(np.log(a))))
        case ExponentialForm(), np.ndarray() if (a.factor > 0).all():
            return ExponentialForm(*_spread(a.factor**b, a.offset * b, a.rate * b))
    return UNREAD


def _integer_power(equation: Any, a: Any) -> Form:
    power = equation.params["y"]
    if not isinstance(a, ExponentialForm) or power < 1:  # one divided by it is a division
        return a if power == 1 else _power(equation, a, np.array(float(power)))
    return ExponentialForm(a.factor**power, a.offset * power, a.rate * power)


def _fixed_power(power: float) -> Callable[..., Form]:
    return lambda equation, a: _power(equation, a, np.array(power))


def _converted(equation: Any, a: Any) -> Form:
    """Another precision, which rounds as every operation does; integers and half precision make steps."""
    dtype = equation.params["new_dtype"]
    return a if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits >= 32 else UNREAD


def _rearranged(move: Callable[..., np.ndarray]) -> Callable[..., Form]:
    """The rule of what only puts entries elsewhere: it does so to every array of a form."""

    def rule(equation: Any, *operands: Any) -> Form:
        kinds = {type(operand) for operand in operands if isinstance(operand, Form)}
        if len(kinds) > 1:
            return UNREAD
        kind = kinds.pop()
        alike = [_constant(operand, kind) if isinstance(operand, np.ndarray) else operand for operand in operands]
        columns = zip(*[vars(operand).values() for operand in alike], strict=True)
        return kind(*[move(equation, *parts) for parts in columns])

    return rule


def _constant(value: np.ndarray, kind: type) -> Form:
    """A constant as a form of the same kind, beside others that depend on `t`."""
    zero = np.zeros_like(value)
    return LineForm(value, zero) if kind is LineForm else ExponentialForm(value, zero, zero)


def _broadcast(equation: Any, a: np.ndarray) -> np.ndarray:
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    thin = [1] * len(shape)
    for place, size in zip(places, a.shape, strict=True):
        thin[place] = size
    return np.array(np.broadcast_to(a.reshape(thin), shape))


def _sliced(equation: Any, a: np.ndarray) -> np.ndarray:
    start, limit, strides = (equation.params[name] for name in ("start_indices", "limit_indices", "strides"))
    return a[tuple(map(slice, start, limit, strides or [1] * a.ndim))]


def _reshaped(equation: Any, a: np.ndarray) -> np.ndarray:
    return a.reshape(equation.outvars[0].aval.shape)


def _plainly_reshaped(equation: Any, a: Any) -> Form:
    return UNREAD if equation.params.get("dimensions") is not None else _rearranged(_reshaped)(equation, a)


RULES: dict[str, Callable[..., Form]] = {
    "mul": _multiply,
    "div": _divide,
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "neg": _negate,
    "exp": _exponential(np.e),
    "exp2": _exponential(2.0),
    "log": _logarithm,
    "pow": _power,
    "integer_pow": _integer_power,
    "square": lambda equation, a: _multiply(equation, a, a),
    "sqrt": _fixed_power(0.5),
    "rsqrt": _fixed_power(-0.5),
    "convert_element_type": _converted,
    "copy": lambda _, a: a,
    "broadcast_in_dim": _rearranged(_broadcast),
    "reshape": _plainly_reshaped,
    "squeeze": _rearranged(_reshaped),
    "expand_dims": _rearranged(_reshaped),
    "transpose": _rearranged(lambda equation, a: a.transpose(equation.params["permutation"])),
    "slice": _rearranged(_sliced),
    "concatenate": _rearranged(lambda equation, *parts: np.concatenate(parts, axis=equation.params["dimension"])),
    "stack": _rearranged(lambda equation, *parts: np.stack(parts, axis=equation.params["axis"])),
}
