"""Inexact inner solves: the end, the work of the stages, the error that is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.tuning import tighten
from implicitcg.tuning.criteria.accuracy import NotProven, proven

ASKED = []


def criterion(theta, tolerance):
    ASKED.append(tolerance)
    solver = icg.solvers.FixedPointIteration(tolerance=tolerance)
    z = icg.solve(icg.fixed_point(lambda z, t: 0.9 * jnp.cos(z) + t, theta), solver).value
    return jnp.square(z - 1) + 1


def test_the_tolerance_falls_and_the_error_told_is_that_of_the_last_stage():
    found = tighten(criterion, jnp.asarray(0.2), (1e-2, 1e-5))
    assert list(dict.fromkeys(ASKED)) == pytest.approx([1e-2, 1e-5, 1e-7])
    assert float(found.theta) == pytest.approx(1 - 0.9 * np.cos(1), abs=1e-3) and found.converged
    assert not found.accuracy.proven and "times tighter" in str(found)
    error = found.accuracy.value
    # the minimum is 1, and a hypergradient of 1e-5 is left: the value is known to the error told and its square
    assert abs(found.value - 1) <= 10 * error + 1e-8
    stages = [step.note.split(":")[0] for step in found.history]
    assert stages[0] == "tolerance 0.01" and stages[-1] == "tolerance 1e-05"
    assert [step.solves for step in found.history] == sorted(step.solves for step in found.history)


def test_tolerances_must_fall():
    for bad in ((), (1e-3, 1e-2), (1e-3, 0.0)):
        with pytest.raises(ValueError, match="each below the one before"):
            tighten(criterion, jnp.asarray(0.2), bad)


@pytest.mark.parametrize("model", ["elastic net", "more features than rows"])
def test_a_criterion_of_a_lasso_has_a_proven_bound_for_what_a_loose_solver_costs(model):
    random = np.random.default_rng(1)
    n, p = (20, 40) if model == "more features than rows" else (40, 8)
    X = random.standard_normal((2 * n, p))
    y = X[:, :3] @ np.array([3.0, -2.0, 1.0]) + random.standard_normal(2 * n)

    def problem(X, y, t):
        fit = {"fit_intercept": True}
        return icg.elastic_net(X, y, t, 0.5, **fit) if model == "elastic net" else icg.lasso(X, y, t, **fit)

    folds = icg.tuning.CrossValidation(problem, X, y, cv=2)
    value, slope = map(float, jax.jit(jax.value_and_grad(folds))(theta := jnp.asarray(0.35)))
    loose, near = (folds.solved_by(icg.solvers.ProximalGradient(tolerance=eps)) for eps in (1e-3, 1e-6))
    if p > n:  # the gap leaves more features than rows: no bound, and it says so
        with pytest.raises(NotProven, match="too large to tell"):
            proven(loose, theta)
    else:
        at, accuracy = proven(loose, theta)
        assert abs(at - value) <= accuracy.value
    at, accuracy = proven(near, theta)
    assert accuracy.proven and abs(at - value) <= accuracy.value < 1e-4 * value  # and it is of use
    # the piece is known, and so is the error of the hypergradient, up to the rounding of the exact one
    off = abs(float(jax.jit(jax.grad(near))(theta)) - slope)
    assert 0 < off == pytest.approx(accuracy.gradient, rel=1e-3, abs=1e-12)
    with pytest.raises(NotProven, match="of one's own"):
        proven(icg.tuning.CrossValidation(problem, X, y, cv=2, loss=lambda p, t: jnp.mean((p - t) ** 4)), theta)


def test_tighten_reports_the_bound_and_solves_with_the_solver_asked_for():
    X = np.random.default_rng(0).standard_normal((40, 12))
    y = X[:, 0] - X[:, 1] + 1.5 * np.random.default_rng(1).standard_normal(40)
    hold_out = icg.tuning.HoldOut(lambda t: icg.lasso(X[:20], y[:20], jnp.exp(t)), X[20:], y[20:])
    found = tighten(hold_out, jnp.asarray(-2.0), (1e-3, 1e-6), bounds=(-4.0, 0.0))
    assert found.accuracy.proven and "criterion at most" in str(found)
    assert abs(found.value - float(hold_out(found.theta))) <= found.accuracy.value <= 1e-2 * found.value
    with pytest.raises(TypeError, match="one of icg"):
        hold_out.solved_by("proximal gradient")
