"""What jaxopt's solvers are made of, taken from one of our problems; and how their answers read."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ...core import AbstractProblem
from ...equations import QP, Composite
from ...equations.fixed_point import AbstractFunctionEquation
from ...equations.quadratic_program import KKT
from ...penalties import AbstractSet

QUADRATIC_PROGRAMS = ("OSQP", "BoxOSQP", "EqualityConstrainedQP", "CvxpyQP")


class Pieces(NamedTuple):
    """Functions for the constructor of a solver, arguments of its `run`, its start, and the way from its answer back.

    The functions take the arrays of the problem as arguments, because jaxopt's rules may not close over traced ones.
    """

    functions: dict[str, Any]
    arguments: tuple[Any, ...]
    start: Any
    read: Callable[[Any], Any]


def pieces(kind: type, problem: AbstractProblem, init: Any, given: tuple[str, ...]) -> Pieces:
    """The pieces that a class of jaxopt needs for `problem`; `given` are the functions that the user gave.

    Raises:
        TypeError: the problem has not what this class works on.
    """
    fields = set(inspect.signature(kind).parameters)
    if kind.__name__ in QUADRATIC_PROGRAMS:
        return _quadratic_program(kind, problem)
    arrays, rest = eqx.partition(problem, eqx.is_array)

    def at(arrays: Any) -> Any:
        return eqx.combine(arrays, rest)

    def equation(z: Any, arrays: Any) -> Any:
        return at(arrays).residual(z)

    def step(z: Any, arrays: Any) -> Any:
        # of our equation z - f(z) = 0
        return _difference(z, at(arrays).residual(z))

    def loss(z: Any, arrays: Any, *again: Any) -> Any:
        return at(arrays).smooth.value(z)  # asked of composite problems only

    def prox(z: Any, arrays: Any, scaling: Any = 1.0) -> Any:
        return at(arrays).penalty.prox(z, jnp.asarray(scaling, z.dtype))

    if "fun" in given:
        return Pieces({}, arguments_of(problem), init, lambda params: params)
    if "fixed_point_fun" in fields:
        return Pieces({"fixed_point_fun": step}, (arrays,), init, lambda params: params)
    if "optimality_fun" in fields:
        return Pieces({"optimality_fun": equation}, (arrays,), init, lambda params: params)
    if "residual_fun" in fields:
        flat = {"residual_fun": lambda z, arrays: ravel_pytree(equation(z, arrays))[0]}
        return Pieces(flat, (arrays,), init, lambda params: params)
    if kind.__name__ == "Broyden":
        return Pieces({"fun": equation}, (arrays,), init, lambda params: params)
    if isinstance(problem, Composite) and "prox" in fields:
        return Pieces({"fun": loss, "prox": prox}, (arrays, arrays), init, lambda params: params)
    if isinstance(problem, Composite) and isinstance(problem.penalty, AbstractSet) and "projection" in fields:
        return Pieces({"fun": loss, "projection": prox}, (arrays, arrays), init, lambda params: params)
    if {"prox", "projection"} & fields:
        what = "a penalty" if "prox" in fields else "a set as its penalty (for others, ProximalGradient)"
        reason = f"it needs a composite problem with {what}"
    else:
        reason = "it minimises a function, which an equation does not tell"
    name = kind.__name__
    raise TypeError(
        f"jaxopt's {name} cannot be set up for this problem: {reason}. Give the function with the arguments of the "
        f"problem, `icg.solvers.external.jaxopt(jaxopt.{name}, fun=f)` for `icg.root(jax.grad(f), *args)`; or a solver "
        "that you made yourself, with `arguments=` a function from the problem to the arguments of its `run`."
    )


def arguments_of(problem: AbstractProblem) -> tuple[Any, ...]:
    """The arguments of a function that the user gave; none for other equations."""
    return problem.args if isinstance(problem, AbstractFunctionEquation) else ()


def _difference(z: Any, F: Any) -> Any:
    flat, unravel = ravel_pytree(z)
    return unravel(flat - ravel_pytree(F)[0])


def _quadratic_program(kind: type, problem: AbstractProblem) -> Pieces:
    """`P, q, A, b, G, h`, and our unknown: the point, the multipliers of equalities, slack minus multiplier."""
    if not isinstance(problem, QP):
        raise TypeError(f"jaxopt's {kind.__name__} solves quadratic programs, icg.qp, and this is no such problem.")
    P, q, A, b, G, h = problem.P, problem.q, problem.A, problem.b, problem.G, problem.h
    equalities, inequalities = len(b), len(h)
    if kind.__name__ == "EqualityConstrainedQP" and inequalities:
        raise TypeError("jaxopt's EqualityConstrainedQP takes no inequalities: use jaxopt's OSQP.")

    def read(params: Any) -> Any:
        y = params.dual_eq if equalities else jnp.zeros_like(b)
        z = params.dual_ineq if inequalities else jnp.zeros_like(h)
        return KKT(params.primal, y, h - G @ params.primal - z)

    def read_box(params: Any) -> Any:
        x, y = params.primal[0], params.dual_eq
        return KKT(x, y[:equalities], h - G @ x - jnp.maximum(y[equalities:], 0))

    if kind.__name__ == "BoxOSQP":
        below = jnp.concatenate([b, jnp.full_like(h, -jnp.inf)])
        return Pieces({}, ((P, q), jnp.concatenate([A, G]), (below, jnp.concatenate([b, h]))), None, read_box)
    constraints = ((A, b) if equalities else None, (G, h) if inequalities else None)
    only_equalities = kind.__name__ == "EqualityConstrainedQP"
    return Pieces({}, ((P, q), *constraints[: 1 if only_equalities else 2]), None, read)
