"""`with_ties`: the same function with another element of its conservative Jacobian."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from ..base import is_traced
from . import closing, custom, selections, sites
from .derivative import Derivative, linearise
from .rewrite import Reading


def with_ties(
    fn: Callable[..., Any], rule: Any = None, *, tol: float = 0.0, direction: Any = None
) -> Callable[..., Any]:
    """Return `fn` with its branches at kinks chosen by `rule`; its values do not change.

    `with_ties(fn, rule)` has, wherever it is differentiated, the derivative `A in J_fn(x)` that the rule picks from the
    conservative Jacobian of the program. Away from kinks it is the derivative of `fn`.

    Arguments:
        fn: a function of arrays, or of trees of arrays.
        rule: one of
            a number in [0, 1]: the weight of the upper branch (of the first candidate, in a maximum over many; orders
            and indices, which cannot be averaged, take the first candidate from 1/2 on and the last below);
            a dictionary from the name of a primitive to such a number, names as `icg.kinks` prints them;
            `Seed(0)` or a key made by `jax.random.key`: one branch at random at every kink.
        tol: entries nearer to a kink than this are chosen, in the units of the kink's own argument.
        direction: instead of a rule, a tree like the arguments: at each kink the branch that this direction enters, so
            that the derivative along it is the one-sided directional derivative of a piecewise smooth `fn`.

    Second derivatives follow numbers and dictionaries; a seed or a direction picks the first derivative, and what
    depends on it further keeps the default rules.

    Returns: a function with the signature of `fn`, for use under `grad`, `jvp`, `vmap`, `jit`, `hessian`.

    Raises: `ValueError` for a number outside [0, 1], since outside the convex range there is no selection, and for a
        name that the program does not have.

    >>> import jax, implicitcg as icg
    >>> float(jax.grad(with_ties(jax.nn.relu, 1.0))(0.0))
    1.0
    """
    if (rule is None) == (direction is None):
        raise ValueError("Give with_ties either a rule (a number in [0, 1], a dictionary, a seed) or a direction.")
    rule = _checked(rule)

    @functools.wraps(fn)
    def tied(*args, **kwargs):
        closed = closing.close(fn, args, kwargs)
        along = None if direction is None else _along(direction, args, kwargs, closed)
        return closed.rebuild(_tied(closed.program, closed.arguments, rule, tol, along))

    return tied


class Seed(eqx.Module):
    """A rule of `with_ties`: at every kink one branch at random, always the same ones for the same seed."""

    seed: int = eqx.field(static=True)

    def key(self) -> Array:
        return jax.random.key(self.seed)


def _checked(rule: Any) -> Any:
    if isinstance(rule, dict):
        return {str(name): _weight(value) for name, value in rule.items()}
    if rule is None or isinstance(rule, Seed) or _is_key(rule):
        return rule
    return _weight(rule)


def _is_key(rule: Any) -> bool:
    return isinstance(rule, Array) and jnp.issubdtype(rule.dtype, jax.dtypes.prng_key)


def _weight(value: Any) -> Any:
    """A weight in [0, 1], checked at once when it is known and when the program runs otherwise."""
    message = "a weight at a kink is {}; between 0 and 1 lie the elements of the Jacobian, outside there are none."
    if is_traced(value):
        return eqx.error_if(value, (value < 0) | (value > 1), message.format("outside [0, 1]"))
    if not isinstance(value, numbers.Real | np.ndarray | Array) or np.shape(cast(Any, value)) != ():
        raise TypeError(f"A rule of with_ties is a number, a dictionary, a Seed or a key; {value!r} is none of them.")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"A weight at a kink is {float(value):g}; " + message.split("; ")[1])
    return value


def _along(direction: Any, args: tuple, kwargs: dict, closed: closing.Closed) -> list[Array]:
    """The direction as tangents of all arguments of the program: zero for what the function closes over."""
    target = (args, kwargs)
    if jax.tree_util.tree_structure(direction) != jax.tree_util.tree_structure(target):
        single = len(args) == 1 and not kwargs
        same = single and jax.tree_util.tree_structure(direction) == jax.tree_util.tree_structure(args[0])
        direction = ((direction,), {}) if same else (tuple(direction), kwargs)
    leaves = jax.tree_util.tree_leaves(direction)
    data = [leaf for leaf in leaves if closing.is_array(leaf)]
    free = closed.arguments[closed.closed_over :]
    if [np.shape(leaf) for leaf in data] != [np.shape(argument) for argument in free]:
        raise ValueError(
            f"The direction has shapes {[np.shape(leaf) for leaf in data]} and the arguments "
            f"{[np.shape(argument) for argument in free]}: give one number of the direction for each of theirs."
        )
    still = [jnp.zeros_like(argument) for argument in closed.arguments[: closed.closed_over]]
    return [*still, *[jnp.asarray(leaf) for leaf in data]]


def _tied(program: Any, arguments: list, rule: Any, tol: float, along: list | None) -> list:
    """Evaluate a program whose derivative is chosen by the rule, at every order of differentiation."""

    @jax.custom_jvp
    def function(arguments, along, rule):
        return sites.jaxprs.run_program(program, arguments)

    @function.defjvp
    def derivative(primals, tangents):
        arguments, along, rule = primals
        moving = [custom.moves(argument) for argument in arguments]
        linear = linearise(program, arguments, moving, Reading(tol))
        free = custom.moving(arguments, tangents[0])
        weights, choose = _selection(linear, arguments, rule, tol, along)

        def piece(equation, operands):
            inner = closing.close(lambda *values: sites.jaxprs.bind(equation, *values), tuple(operands), {})
            return inner.rebuild(_tied(inner.program, inner.arguments, deeper, tol, None))

        deeper = rule if weights is None else None
        _, moved = linear(arguments, free, weights, sites.Manner(choose, piece=piece))
        results = function(*primals)
        return results, custom.fill(results, moved)

    return function(arguments, along, rule)


def _selection(linear: Derivative, arguments: list, rule: Any, tol: float, along: list | None):
    """Weights for every site, and the rule that reads them."""
    if along is not None:
        return [record.default for record in _ahead(linear, arguments, along)], selections.given(tol)
    if isinstance(rule, Seed) or _is_key(rule):
        key = rule.key() if isinstance(rule, Seed) else rule
        return selections.random_scores(linear.sites, key), selections.scored(tol)
    if isinstance(rule, dict):
        known = sorted({site.name for site in linear.sites})
        unknown = sorted(set(rule) - set(known))
        if unknown and known:
            raise ValueError(f"The program has no kink called {unknown}; it has {known}.")
        return None, selections.by_name(rule, tol)
    if rule is None:
        return None, sites.chosen
    return None, selections.uniform(rule, tol)


def _ahead(linear: Derivative, arguments: list, along: list) -> list[sites.SiteRecord]:
    """What the program chooses one short step ahead: the branches that the direction enters.

    A step `h = eps^(1/3)` of the scale of the point: its rounding, `eps / h`, and its curvature, `h`, are both small,
    so that only kinks which the direction leaves slower than that are missed.
    """
    moving = [custom.moves(argument) for argument in arguments]
    sizes = [jnp.max(jnp.abs(a), initial=0.0) for a, moves in zip(along, moving, strict=False) if moves]
    points = [jnp.max(jnp.abs(a), initial=0.0) for a, moves in zip(arguments, moving, strict=False) if moves]
    dtype = jnp.result_type(*sizes)
    size = jnp.max(jnp.stack([s.astype(dtype) for s in sizes]))
    scale = 1 + jnp.max(jnp.stack([p.astype(dtype) for p in points]))
    step = float(jnp.finfo(dtype).eps) ** (1 / 3) * scale / jnp.where(size > 0, size, 1)
    ahead = [
        a + (step * d).astype(a.dtype) if moves else a for a, d, moves in zip(arguments, along, moving, strict=False)
    ]
    still = [jnp.zeros_like(argument) for argument, moves in zip(arguments, moving, strict=False) if moves]
    return linear.records(ahead, still)
