"""The elements of a conservative Jacobian, from compiled parts of a program: what is ambiguous, and each choice's."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..base import is_traced
from . import closing, derivative, hull, selections, sites
from .alternatives import Alternatives, alternatives
from .jacobian_set import JacobianSet
from .rewrite import Reading

BATCH = 256  # vertices evaluated at once


class Programs:
    """The compiled parts of one function, once for every shape of its arguments."""

    def __init__(self, fn: Callable[..., Any]):
        self.fn = fn
        self.known: dict[Any, tuple[Elements, list]] = {}

    def at(self, x: Any, *data: Any, tol: float) -> Elements:
        """Those for these arrays, at them; only `x` is differentiated."""
        if is_traced((x, data)):
            raise TypeError(
                "conservative_jacobian needs a concrete point: how many elements there are depends on the values. Call "
                "it outside jit, vmap and grad; under jit, icg.kinks counts the kinks and with_ties picks one element."
            )
        leaves, structure = jax.tree_util.tree_flatten((x, *data))
        key = (structure, *[(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in leaves])
        if key not in self.known:
            closed = closing.close(self.fn, (x, *data), {})
            moved = len(jax.tree_util.tree_leaves(x))
            self.known[key] = Elements(closed, moved), closed.arguments[: closed.closed_over]
        problem, constants = self.known[key]
        return problem.at([*constants, *leaves], tol)


class _Found(NamedTuple):
    jacobians: list[np.ndarray]
    choices: int
    kinks: int
    jumps: int
    exhaustive: bool


class Elements:
    """The compiled parts: what is ambiguous, and the Jacobian for given weights."""

    tol: float  # these three belong to the point, see `at`
    arguments: list
    known: list

    def __init__(self, closed: closing.Closed, leaves: int):
        """`leaves` is how many arguments are differentiated, the first ones."""
        first, last = closed.closed_over, closed.closed_over + leaves
        self.moving = [m and first <= i < last for i, m in enumerate(closed.moving)]
        arguments = [*closed.arguments, jnp.zeros(())]
        whole = derivative.linearise(closed.program, arguments, self.moving, Reading(tol=None))
        self.split = whole.split(arguments)
        self.linear = self.split.rest
        outputs = jax.eval_shape(
            lambda *a: closed.rebuild(sites.jaxprs.run_program(closed.program, a)), *closed.arguments
        )
        if len(jax.tree_util.tree_leaves(outputs)) != 1:
            raise TypeError("conservative_jacobian needs a function that returns one array; concatenate its results.")
        (self.output,) = jax.tree_util.tree_leaves(outputs)
        self.inputs = [a for a, m in zip(closed.arguments, self.moving, strict=False) if m]
        self.columns = sum(a.size for a in self.inputs)
        self._walk = jax.jit(self._records)
        self._compute = jax.jit(self._evaluate)

    def at(self, arguments: list, tol: float) -> Elements:
        """The same parts at a point and a tolerance, none of which is compiled in.

        They are another object, since several threads may each be at a point of their own.
        """
        moved = copy.copy(self)
        moved.tol = tol
        moved.arguments, moved.known = self.split.at([*arguments, jnp.asarray(tol, float)])
        return moved

    def enumerated(self, x: Any, max_elements: int, seed: int = 0) -> JacobianSet:
        """The set at the point `x` where they are."""
        return _as_set(self, _enumerate(self, max_elements, np.random.default_rng(seed)), x)

    def evaluate(self, batch: dict[int, Any]) -> tuple[jax.Array, jax.Array]:
        """Values and Jacobians `(rows, columns)` for a batch of weights."""
        return self._compute(self.arguments, self.tol, batch)

    def records(self, fixed: dict[int, np.ndarray]) -> list[sites.SiteRecord]:
        """What is chosen at each site, given some choices."""
        if not fixed and all(record is not None for record in self.known):
            return jax.device_get(self.known)
        return jax.device_get(self._walk(self.arguments, self.tol, {i: jnp.asarray(w) for i, w in fixed.items()}))

    def _records(self, arguments: list, tol: Any, weights: dict[int, Any]) -> list[sites.SiteRecord]:
        still = [jnp.zeros_like(a) for a in self.inputs]
        return self.linear.records(arguments, still, self._spread(weights), selections.given(tol))

    def _spread(self, weights: dict[int, Any]) -> list:
        return [weights.get(i) for i in range(len(self.linear.sites))]

    def _evaluate(self, arguments: list, tol: Any, batch: dict[int, Any]) -> tuple[jax.Array, jax.Array]:
        def one(weights: dict[int, Any]) -> tuple[jax.Array, jax.Array]:
            return self._one(arguments, tol, weights)

        return jax.vmap(one)(batch) if batch else jax.tree_util.tree_map(lambda v: v[None], one({}))

    def _one(self, arguments: list, tol: Any, weights: dict[int, Any]) -> tuple[jax.Array, jax.Array]:
        spread = self._spread(weights)
        manner = sites.Manner(selections.given(tol))
        basis = jnp.eye(self.columns, dtype=jnp.result_type(*[a.dtype for a in self.inputs]))

        def tangents(row):
            ends = np.cumsum([a.size for a in self.inputs])
            parts = jnp.split(row, ends[:-1])
            return [part.reshape(a.shape).astype(a.dtype) for part, a in zip(parts, self.inputs, strict=False)]

        def column(row):
            results, moved = self.linear(arguments, tangents(row), spread, manner)
            return results[0], moved[0].reshape(-1)

        def forward():
            values, columns = jax.vmap(column)(basis)
            return values[0], columns.T

        def reverse():
            def image(row):
                results, moved = self.linear(arguments, tangents(row), spread, manner)
                return moved[0].reshape(-1), results[0]

            _, pull, value = jax.vjp(image, jnp.zeros(self.columns, basis.dtype), has_aux=True)
            rows = jax.vmap(lambda row: pull(row)[0])(jnp.eye(self.output.size, dtype=self.output.dtype))
            return value, rows

        return forward() if self.columns <= max(8, 2 * self.output.size) or self.loops else reverse()

    @functools.cached_property
    def loops(self) -> bool:
        """Whether a while_loop carries tangents: only forward mode passes it."""
        return _has_while(self.linear.program)


def _has_while(jaxpr: Any) -> bool:
    return any(
        equation.primitive.name == "while" or any(_has_while(inner) for inner in sites.jaxprs.subprograms(equation))
        for equation in sites.jaxprs.program(jaxpr).equations
    )


def _enumerate(problem: Elements, max_elements: int, random: np.random.Generator) -> _Found:
    """Walk over hard choices first, since they decide which other kinks are met; then over all the rest at once."""
    jacobians, total, kinks, jumps, exhaustive = [], 0, 0, 0, True
    waiting: list[dict[int, np.ndarray]] = [{}]
    reference = None
    while waiting:
        fixed = waiting.pop()
        records = problem.records(fixed)
        free = [
            alternatives(i, site, r, problem.tol)
            for i, (site, r) in enumerate(zip(problem.linear.sites, records, strict=False))
        ]
        free = [a for a in free if a is not None]
        hard = next((a for a in free if a.site.kind == "index" and a.index not in fixed), None)
        if hard is not None and len(waiting) + hard.count <= max_elements:
            waiting += [{**fixed, hard.index: w} for w in hard.all()]
            continue
        soft = [a for a in free if a.index not in fixed]
        kinks = max(kinks, sum(a.kinks for a in free))
        count = math.prod(a.count for a in soft)
        total += count
        exhaustive &= all(a.exhaustive for a in free)
        room = max(max_elements - len(jacobians), 1)
        if count <= room:
            combinations = itertools.product(*[list(a.all()) for a in soft])
        else:
            exhaustive = False
            combinations = _sample(soft, room, random)
        for values, rows in _jacobians(problem, fixed, soft, combinations):
            reference = values[0] if reference is None else reference
            keep = _same(values, reference, problem.tol)
            jumps += int((~keep).sum())
            jacobians += list(rows[keep])
    return _Found(jacobians, total, kinks, jumps, exhaustive)


def _sample(soft: list[Alternatives], room: int, random: np.random.Generator) -> Iterator[tuple]:
    yield tuple(a.default for a in soft)  # what JAX itself returns
    for _ in range(room - 1):
        yield tuple(a.draw(random) for a in soft)


def _jacobians(problem, fixed, soft, combinations) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    combinations = iter(combinations)
    while chunk := list(itertools.islice(combinations, BATCH)):
        size = len(chunk)
        room = BATCH if size > 16 else 16 if size > 1 else 1  # few batch sizes, so few compilations
        padded = chunk + [chunk[-1]] * (room - size)
        batch = {
            a.index: jnp.asarray(np.stack(column)) for a, column in zip(soft, zip(*padded, strict=False), strict=False)
        }
        batch |= {i: jnp.broadcast_to(jnp.asarray(w), (len(padded), *w.shape)) for i, w in fixed.items()}
        values, rows = jax.device_get(problem.evaluate(batch))
        yield values[:size], rows[:size]


def _same(values: np.ndarray, reference: np.ndarray, tol: float) -> np.ndarray:
    """Which elements leave the value of the function where it is, to rounding and `tol`."""
    eps = np.finfo(values.dtype).eps ** 0.5
    allowed = (eps + 10 * tol) * (1 + np.abs(reference))
    moved = np.abs(values - reference) > allowed
    return ~moved.reshape(len(values), -1).any(1)


def _as_set(problem: Elements, found: _Found, x: Any) -> JacobianSet:
    """Merge what is equal to rounding, and give it the shapes of the function."""
    points = np.stack([rows.reshape(-1) for rows in found.jacobians])
    if not np.isfinite(points).all():
        raise ValueError(
            f"An element of the Jacobian is not finite ({points[~np.isfinite(points)][0]}): the program is not locally "
            "Lipschitz here, so it has no conservative Jacobian. `icg.kinks` names the line; a square root at zero is "
            "the usual cause: write a norm as icg.nonsmooth.norm, or add a small constant under the root."
        )
    dtype = found.jacobians[0].dtype
    rounding = 64 * np.finfo(dtype).eps * (1 + np.abs(points).max(initial=0.0))
    distinct = points[hull.distinct_points(points.astype(float), rounding)]
    table = distinct.reshape(len(distinct), problem.output.size, problem.columns)
    ends = np.cumsum([a.size for a in problem.inputs])
    supply = iter(np.split(table, ends[:-1], axis=2))

    def leaf(value):
        if not jnp.issubdtype(value.dtype, jnp.floating):
            return None
        block = next(supply)
        return jnp.asarray(block.reshape(len(distinct), *problem.output.shape, *value.shape), dtype)

    vertices = jax.tree_util.tree_map(leaf, x)
    return JacobianSet(vertices, found.exhaustive, found.choices, found.kinks, found.jumps, tuple(problem.output.shape))
