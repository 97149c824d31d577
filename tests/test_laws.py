"""The laws, stated once and held for every row of the table in `cases.py`."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case
from jax.flatten_util import ravel_pytree
from laws import assert_close, central_difference, direction_like, inner, moved

import implicitcg as icg
from implicitcg.base import Status
from implicitcg.core import AbstractSolver, Found
from implicitcg.solvers.automatic import default_solver

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


class Derivatives(NamedTuple):
    """What the laws look at, of one direction `d` of the parameters and one cotangent `v` of the value."""

    value: Any
    pushed: Any
    pulled: Any
    by_start: Any


@functools.cache
def compiled(case: Case):
    """Value, pushforward and pullback of a row: one program with one search in it, shared by the laws."""

    @jax.jit
    def derivatives(theta, d, v):
        start = case.problem(theta).start(case.start(theta))
        value, push = jax.linearize(lambda t, z: icg.solve(case.problem(t), init=z).value, theta, start)
        pushed = push(d, jax.tree.map(jnp.zeros_like, start))
        return Derivatives(value, pushed, *jax.linear_transpose(push, theta, start)(v))

    return derivatives


@functools.cache
def solved(case: Case) -> icg.Solution:
    return case.solution(case.theta)


class Known(AbstractSolver):
    """What another solver found, its memory included: derivatives of every kind at one point share one search."""

    found: Found

    def run(self, problem, init) -> Found:
        return self.found


def known(problem, start, solution: icg.Solution) -> Known:
    """What the default solver of `problem` finds and leaves behind; searched again only where it leaves something."""

    @jax.jit
    def search():
        closed = problem.closed(start)
        return default_solver(closed).run(closed, closed.start(start))

    if search.eval_shape().memory is None:
        return Known(Found(solution.root, solution.status, solution.iterations, gap=solution.gap))
    return Known(search())


@functools.cache
def searched(case: Case) -> Known:
    return known(case.problem(case.theta), case.start(case.theta), solved(case))


@functools.cache
def second_derivatives(case: Case):
    """Products with the Hessian of `loss` at the row's parameters, forward over reverse and reverse over forward."""
    along = loss(case, solver=searched(case))

    @jax.jit
    def products(d):
        forward_reverse = jax.jvp(jax.grad(along), (case.theta,), (d,))[1]
        return forward_reverse, jax.grad(lambda theta: jax.jvp(along, (theta,), (d,))[1])(case.theta)

    return products


def derivatives(case: Case, theta, d=None, v=None) -> Derivatives:
    """At `theta`; a direction or a cotangent that nobody looks at is left out."""
    if v is None:
        dtype = jnp.result_type(*jax.tree.leaves(theta))
        v = jax.tree.map(lambda z: z.astype(dtype), solved(case).value)
    return compiled(case)(theta, theta if d is None else d, v)


def value(case: Case, theta):
    return derivatives(case, theta).value


def loss(case: Case, **options):
    """A smooth scalar function of the solution."""
    return lambda theta: jnp.sum(jnp.square(ravel_pytree(case.value(theta, **options))[0]))


def gradient(case: Case, theta):
    """That of `loss`: the pullback of twice the value."""
    return derivatives(case, theta, v=jax.tree.map(lambda z: 2 * z, value(case, theta))).pulled


@every_case
def test_the_residual_is_at_rounding_and_the_status_says_converged(case):
    solution = solved(case)
    assert bool(solution.converged)
    # the residual is a norm in units of the unknown, whose size is about one in every row
    assert float(solution.residual) < 1e-12
    assert solution.residual.shape == solution.iterations.shape == ()


@every_case
def test_forward_mode_equals_finite_differences_away_from_kinks(case):
    d = direction_like(case.theta, seed=0)
    # the differences below cross no kink
    assert icg.certify(case.problem(case.theta), solved(case)).margin > 1e-3
    # h = 1e-5: truncation 1e-10 and rounding 1e-11 times the curvature of the row
    expected = central_difference(functools.partial(value, case), case.theta, d)
    assert_close(derivatives(case, case.theta, d).pushed, expected, 1e-8)


@every_case
def test_reverse_mode_is_the_transpose_of_forward_mode(case):
    d, v = direction_like(case.theta, seed=1), direction_like(solved(case).value, seed=2)
    both = derivatives(case, case.theta, d, v)
    assert inner(v, both.pushed) == pytest.approx(inner(both.pulled, d), rel=1e-11, abs=1e-13)


@every_case
def test_jit_changes_nothing(case):
    d = direction_like(case.theta, seed=3)
    inside = derivatives(case, case.theta, d)
    assert_close(solved(case).value, inside.value, 1e-13)
    eagerly = functools.partial(case.value, solver=searched(case))
    assert_close(jax.jvp(eagerly, (case.theta,), (d,))[1], inside.pushed, 1e-12)


@every_case
def test_vmap_is_a_loop_also_around_and_inside_derivatives(case):
    d = direction_like(case.theta, seed=4)
    steps = jnp.asarray([0.0, 1e-3, -2e-3])
    batch = jax.vmap(lambda s: moved(case.theta, d, s))(steps)
    batched = jax.jit(jax.vmap(lambda theta: jax.jvp(case.value, (theta,), (d,))[1]))(batch)
    looped = [derivatives(case, jax.tree.map(lambda leaf, i=i: leaf[i], batch), d).pushed for i in range(3)]
    assert_close(batched, jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped), 1e-11)


@every_case
def test_the_hessian_equals_differences_of_the_gradient(case):
    d = direction_like(case.theta, seed=5)
    expected = central_difference(functools.partial(gradient, case), case.theta, d)
    assert_close(second_derivatives(case)(d)[0], expected, 1e-7)  # one order of differences more


@every_case
def test_the_hessian_is_symmetric_and_the_same_by_every_order_of_modes(case):
    d, e = direction_like(case.theta, seed=6), direction_like(case.theta, seed=7)
    forward_reverse, reverse_forward = second_derivatives(case)(d)
    other, _ = second_derivatives(case)(e)
    assert_close(reverse_forward, forward_reverse, 1e-10)
    assert inner(forward_reverse, e) == pytest.approx(inner(other, d), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(
    ("case", "solver"),
    [(case, solver) for case in CASES for solver in case.solvers],
    ids=lambda x: x.name if isinstance(x, Case) else type(x).__name__,
)
def test_the_derivative_does_not_depend_on_the_solver_even_one_without_derivatives(case, solver):
    found, pulled = jax.jit(jax.value_and_grad(loss(case, solver=solver)))(case.theta)
    # first-order and outside solvers stop at about 1e-9; the derivative is as good as the point
    assert_close(found, inner(value(case, case.theta), value(case, case.theta)), 1e-7)
    assert_close(pulled, gradient(case, case.theta), 1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if c.adjoints], ids=lambda case: case.name)
def test_the_derivative_does_not_depend_on_the_adjoint(case):
    v, search = direction_like(solved(case).value, seed=8), searched(case)  # not inside a trace: it is kept

    @jax.jit
    def by_each(theta):
        values = [functools.partial(case.value, solver=search, adjoint=adjoint) for adjoint in case.adjoints]
        return [jax.vjp(value, theta)[1](v)[0] for value in values]

    expected = derivatives(case, case.theta, v=v).pulled
    for adjoint, pulled in zip(case.adjoints, by_each(case.theta), strict=True):
        print(adjoint)  # shown where the next line fails
        assert_close(pulled, expected, 1e-9)  # iterative adjoints stop at eps^(3/4) = 2e-12


@pytest.mark.parametrize(
    ("case", "adjoint"),
    [(case, adjoint) for case in CASES for adjoint in case.biased],
    ids=lambda x: x.name if isinstance(x, Case) else type(x).__name__,
)
def test_a_biased_adjoint_is_its_part_of_the_series_in_both_modes_and_has_no_second_derivative(
    case, adjoint, fails_with
):
    solution, d = solved(case), direction_like(case.theta, seed=11)
    z, unravel = ravel_pytree(solution.root)
    linearisation = case.problem(case.theta).linearise(solution.root)
    J = np.eye(len(z)) - np.stack([ravel_pytree(linearisation.apply(unravel(e)))[0] for e in jnp.eye(len(z))], 1)
    rhs = (np.eye(len(z)) - J) @ ravel_pytree(derivatives(case, case.theta, d).pushed)[
        0
    ]  # `(I - J) dz` for the exact `dz`
    terms, damping = {"OneStep": (0, 1.0), "Neumann": (3, 1.0), "Phantom": (2, 0.5)}[type(adjoint).__name__]
    step = damping * J + (1 - damping) * np.eye(len(z))
    expected = damping * sum(np.linalg.matrix_power(step, i) @ rhs for i in range(terms + 1))

    def value(theta):
        return case.value(theta, solver=searched(case), adjoint=adjoint)

    pushed, pull = jax.jit(lambda t: jax.jvp(value, (t,), (d,))[1])(case.theta), jax.vjp(value, case.theta)[1]
    assert_close(pushed, expected, 1e-12)
    v = direction_like(pushed, seed=12)
    assert inner(v, pushed) == pytest.approx(inner(pull(v)[0], d), rel=1e-11, abs=1e-13)
    fails_with(
        "asked of a biased adjoint",
        jax.hessian(lambda s: loss(case, solver=searched(case), adjoint=adjoint)(moved(case.theta, d, s))),
        0.0,
    )


@every_case
def test_float32_stays_float32_and_is_right_to_its_precision(case):
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), case.theta)
    d = direction_like(single, seed=9)
    found = derivatives(case, single, d)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (single, d))
    assert_close(found.pushed, derivatives(case, *double).pushed, 1e-3)  # eps 1e-7 times condition numbers up to 1e3


class CountingSolver(AbstractSolver):
    """Counts how often it is traced; Python runs it only then. It stays where it is: only tracing is looked at."""

    inside: AbstractSolver
    counter: list = eqx.field(static=True)

    def run(self, problem, init) -> Found:
        self.counter.append(1)
        return Found(init, Status.converged, jnp.asarray(0))

    def __hash__(self):
        return id(self.counter)

    def __eq__(self, other):
        return self is other


@every_case
def test_a_second_call_outside_jit_compiles_nothing(case):
    counter = _Counter()
    function = case.problem(case.theta)
    solver = CountingSolver(default_solver(function), counter)
    for step in (0.0, 1e-3):
        problem = eqx.tree_at(lambda p: p, function, jax.tree.map(lambda a, s=step: _nudged(a, s), function))
        icg.solve(problem, solver, init=case.start(case.theta))
    assert len(counter) == 1


class _Counter(list):
    __hash__ = object.__hash__


def _nudged(leaf, step):
    return leaf * (1 + step) if eqx.is_inexact_array(leaf) else leaf


@pytest.mark.parametrize("case", [c for c in CASES if c.singular], ids=lambda case: case.name)
def test_a_singular_system_is_refused_and_never_silent(case, fails_with):
    problem, start = case.singular, case.start(case.theta)
    solution = icg.solve(problem(case.theta), init=start)
    solver = known(problem(case.theta), start, solution)
    assert icg.certify(problem(case.theta), solution).verdict == "singular"

    def gradient(theta, solver, **options):
        def value(theta):
            return jnp.sum(ravel_pytree(icg.solve(problem(theta), solver, start, **options).value)[0])

        return jax.grad(value)(theta)

    @eqx.filter_jit
    def gradients(theta, solver):
        return gradient(theta, solver, throw=False), gradient(theta, solver, adjoint=icg.adjoints.MinimumNorm())

    fails_with("The derivative was refused", gradient, case.theta, solver)
    fails_with("The derivative was refused", eqx.filter_jit(gradient), case.theta, solver)
    silent, asked_for = gradients(case.theta, solver)
    assert any(bool(jnp.isnan(leaf).any()) for leaf in jax.tree.leaves(silent))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(asked_for))


@every_case
def test_arrays_closed_over_are_differentiated(case):
    d = direction_like(case.theta, seed=10)

    def closing(s):
        theta = moved(case.theta, d, s)
        return loss(case, solver=searched(case))(theta)

    assert_close(jax.grad(closing)(0.0), inner(gradient(case, case.theta), d), 1e-12)


@every_case
def test_the_search_start_carries_no_derivative_and_warm_starts_agree(case):
    solution = solved(case)
    again = icg.solve(case.problem(case.theta), init=solution.root)
    assert_close(again.value, solution.value, 1e-12)
    assert int(again.iterations) <= int(solution.iterations)

    by_start = derivatives(case, case.theta, v=direction_like(solution.value, seed=13)).by_start
    assert not any(leaf.any() for leaf in jax.tree.leaves(by_start))
