"""The laws, stated once and held for every row of the table in `cases.py`."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case
from jax.flatten_util import ravel_pytree
from laws import assert_close, central_difference, direction_like, inner, moved

import implicitcg as icg
from implicitcg.core import AbstractSolver, Found

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@functools.cache
def compiled(case: Case):
    """Value and pushforward of a row, compiled once and shared by the laws."""
    value = jax.jit(case.value)
    push = jax.jit(lambda theta, d: jax.jvp(case.value, (theta,), (d,))[1])
    pull = jax.jit(lambda theta, v: jax.vjp(case.value, theta)[1](v)[0])
    return value, push, pull


def loss(case: Case, **options):
    """A smooth scalar function of the solution."""
    return lambda theta: jnp.sum(jnp.square(ravel_pytree(case.value(theta, **options))[0]))


@every_case
def test_the_residual_is_at_rounding_and_the_status_says_converged(case):
    solution = case.solution(case.theta)
    assert bool(solution.converged)
    # the residual is a norm in units of the unknown, whose size is about one in every row
    assert float(solution.residual) < 1e-12
    assert solution.residual.shape == solution.iterations.shape == ()


@every_case
def test_forward_mode_equals_finite_differences_away_from_kinks(case):
    value, push, _ = compiled(case)
    d = direction_like(case.theta, seed=0)
    solution = case.solution(case.theta)
    assert icg.certify(case.problem(case.theta), solution).margin > 1e-3  # the differences below cross no kink
    # h = 1e-5: truncation 1e-10 and rounding 1e-11 times the curvature of the row
    assert_close(push(case.theta, d), central_difference(value, case.theta, d), 1e-8)


@every_case
def test_reverse_mode_is_the_transpose_of_forward_mode(case):
    _, push, pull = compiled(case)
    d = direction_like(case.theta, seed=1)
    pushed = push(case.theta, d)
    v = direction_like(pushed, seed=2)
    assert inner(v, pushed) == pytest.approx(inner(pull(case.theta, v), d), rel=1e-11, abs=1e-13)


@every_case
def test_jit_changes_nothing(case):
    value, push, _ = compiled(case)
    d = direction_like(case.theta, seed=3)
    assert_close(case.value(case.theta), value(case.theta), 1e-13)
    assert_close(jax.jvp(case.value, (case.theta,), (d,))[1], push(case.theta, d), 1e-12)


@every_case
def test_vmap_is_a_loop_also_around_and_inside_derivatives(case):
    _, push, _ = compiled(case)
    d = direction_like(case.theta, seed=4)
    steps = jnp.asarray([0.0, 1e-3, -2e-3])
    batch = jax.vmap(lambda s: moved(case.theta, d, s))(steps)
    batched = jax.jit(jax.vmap(lambda theta: jax.jvp(case.value, (theta,), (d,))[1]))(batch)
    looped = [push(jax.tree.map(lambda leaf, i=i: leaf[i], batch), d) for i in range(3)]
    assert_close(batched, jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped), 1e-11)


@every_case
def test_the_hessian_equals_differences_of_the_gradient(case):
    gradient = jax.jit(jax.grad(loss(case)))
    d = direction_like(case.theta, seed=5)
    second = jax.jit(lambda theta: jax.jvp(jax.grad(loss(case)), (theta,), (d,))[1])(case.theta)
    assert_close(second, central_difference(gradient, case.theta, d), 1e-7)  # one order of differences more


@every_case
def test_the_hessian_is_symmetric_and_the_same_by_every_order_of_modes(case):
    d, e = direction_like(case.theta, seed=6), direction_like(case.theta, seed=7)
    along = loss(case)

    @jax.jit
    def products(theta):
        forward_reverse = jax.jvp(jax.grad(along), (theta,), (d,))[1]
        reverse_forward = jax.grad(lambda t: jax.jvp(along, (t,), (d,))[1])(theta)
        return forward_reverse, reverse_forward, jax.jvp(jax.grad(along), (theta,), (e,))[1]

    forward_reverse, reverse_forward, other = products(case.theta)
    assert_close(reverse_forward, forward_reverse, 1e-10)
    assert inner(forward_reverse, e) == pytest.approx(inner(other, d), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(
    ("case", "solver"),
    [(case, solver) for case in CASES for solver in case.solvers],
    ids=lambda x: x.name if isinstance(x, Case) else type(x).__name__,
)
def test_the_derivative_does_not_depend_on_the_solver_even_one_without_derivatives(case, solver):
    expected_value, expected = jax.jit(jax.value_and_grad(loss(case)))(case.theta)
    value, gradient = jax.jit(jax.value_and_grad(loss(case, solver=solver)))(case.theta)
    # first-order and outside solvers stop at about 1e-9; the derivative is as good as the point
    assert_close(value, expected_value, 1e-7)
    assert_close(gradient, expected, 1e-6)


@pytest.mark.parametrize(
    ("case", "adjoint"),
    [(case, adjoint) for case in CASES for adjoint in case.adjoints],
    ids=lambda x: x.name if isinstance(x, Case) else type(x).__name__,
)
def test_the_derivative_does_not_depend_on_the_adjoint(case, adjoint):
    _, _, pull = compiled(case)
    v = direction_like(compiled(case)[0](case.theta), seed=8)
    by_adjoint = jax.jit(lambda theta: jax.vjp(lambda t: case.value(t, adjoint=adjoint), theta)[1](v)[0])
    assert_close(by_adjoint(case.theta), pull(case.theta, v), 1e-9)  # iterative adjoints stop at eps^(3/4) = 2e-12


@pytest.mark.parametrize(
    ("case", "adjoint"),
    [(case, adjoint) for case in CASES for adjoint in case.biased],
    ids=lambda x: x.name if isinstance(x, Case) else type(x).__name__,
)
def test_a_biased_adjoint_is_its_part_of_the_series_in_both_modes_and_has_no_second_derivative(
    case, adjoint, fails_with
):
    solution, d = case.solution(case.theta), direction_like(case.theta, seed=11)
    z, unravel = ravel_pytree(solution.root)
    linearisation = case.problem(case.theta).linearise(solution.root)
    J = np.eye(len(z)) - np.stack([ravel_pytree(linearisation.apply(unravel(e)))[0] for e in jnp.eye(len(z))], 1)
    _, push, _ = compiled(case)
    rhs = (np.eye(len(z)) - J) @ ravel_pytree(push(case.theta, d))[0]  # `(I - J) dz` for the exact `dz`
    terms, damping = {"OneStep": (0, 1.0), "Neumann": (3, 1.0), "Phantom": (2, 0.5)}[type(adjoint).__name__]
    step = damping * J + (1 - damping) * np.eye(len(z))
    expected = damping * sum(np.linalg.matrix_power(step, i) @ rhs for i in range(terms + 1))

    def value(theta):
        return case.value(theta, adjoint=adjoint)

    pushed, pull = jax.jit(lambda t: jax.jvp(value, (t,), (d,))[1])(case.theta), jax.vjp(value, case.theta)[1]
    assert_close(pushed, expected, 1e-12)
    v = direction_like(pushed, seed=12)
    assert inner(v, pushed) == pytest.approx(inner(pull(v)[0], d), rel=1e-11, abs=1e-13)
    fails_with(
        "asked of a biased adjoint", jax.hessian(lambda s: loss(case, adjoint=adjoint)(moved(case.theta, d, s))), 0.0
    )


@every_case
def test_float32_stays_float32_and_is_right_to_its_precision(case):
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), case.theta)
    d = direction_like(single, seed=9)
    value, pushed = jax.jvp(case.value, (single,), (d,))
    assert {leaf.dtype for leaf in jax.tree.leaves((value, pushed))} == {jnp.dtype(jnp.float32)}
    double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (single, d))
    assert_close(pushed, compiled(case)[1](*double), 1e-3)  # eps 1e-7 times condition numbers up to 1e3


class CountingSolver(AbstractSolver):
    """Counts how often it is traced; Python runs it only then."""

    inside: AbstractSolver
    counter: list = eqx.field(static=True)

    def run(self, problem, init) -> Found:
        self.counter.append(1)
        return self.inside.run(problem, init)

    def __hash__(self):
        return id(self.counter)

    def __eq__(self, other):
        return self is other


@every_case
def test_a_second_call_outside_jit_compiles_nothing(case):
    counter = _Counter()
    function = case.problem(case.theta)
    solver = CountingSolver(function.default_solver(), counter)
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
    problem = case.singular

    def value(theta, **options):
        return jnp.sum(ravel_pytree(icg.solve(problem(theta), init=case.start(theta), **options).value)[0])

    solution = icg.solve(problem(case.theta), init=case.start(case.theta))
    assert icg.certify(problem(case.theta), solution).verdict == "singular"
    fails_with("The derivative was refused", jax.grad(value), case.theta)
    fails_with("The derivative was refused", jax.jit(jax.grad(value)), case.theta)
    gradient = jax.grad(lambda theta: value(theta, throw=False))(case.theta)
    assert any(bool(jnp.isnan(leaf).any()) for leaf in jax.tree.leaves(gradient))
    asked_for = jax.grad(lambda theta: value(theta, adjoint=icg.adjoints.MinimumNorm()))(case.theta)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(asked_for))


@every_case
def test_arrays_closed_over_are_differentiated(case):
    d = direction_like(case.theta, seed=10)

    def closing(s):
        theta = moved(case.theta, d, s)
        return loss(case)(theta)

    assert_close(jax.grad(closing)(0.0), inner(jax.grad(loss(case))(case.theta), d), 1e-12)


@every_case
def test_the_search_start_carries_no_derivative_and_warm_starts_agree(case):
    solution = case.solution(case.theta)
    again = icg.solve(case.problem(case.theta), init=solution.root)
    assert_close(again.value, solution.value, 1e-12)
    assert int(again.iterations) <= int(solution.iterations)

    def from_start(scale):
        start = jax.tree.map(lambda leaf: leaf * scale, solution.root)
        return jnp.sum(ravel_pytree(icg.solve(case.problem(case.theta), init=start).value)[0])

    assert float(jax.grad(from_start)(1.0)) == 0.0
