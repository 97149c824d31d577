"""Descent over several hyperparameters: kinks, budgets, failures, checkpoints."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.tuning import Outcome, tune
from implicitcg.tuning.search.coordinates import Coordinates
from implicitcg.tuning.search.descent import descend
from implicitcg.tuning.search.oracle import Point
from implicitcg.tuning.search.starts import starting_points

module = sys.modules["implicitcg.tuning.tune"]


def rosenbrock(theta):
    return jnp.square(1 - theta["a"]) + 100 * jnp.square(theta["b"][0] - jnp.square(theta["a"])) + 1


def test_a_smooth_valley_is_followed_to_its_end_in_a_tree_of_hyperparameters():
    result = tune(rosenbrock, {"a": -1.2, "b": [1.0]})
    assert result.status is Outcome.stationary_smooth
    assert float(result.theta["a"]) == pytest.approx(1, abs=1e-3)
    assert isinstance(result.theta["b"], list)
    values = [step.value for step in result.history]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("function", "start", "minimum"),
    [
        (lambda t: jnp.abs(t[0]) + 3 * jnp.abs(t[1] - 1) + 1, [2.3, -0.4], 1.0),
        (lambda t: jnp.max(jnp.abs(t - jnp.arange(5.0))) + jnp.sum(jnp.abs(t)) / 100, [3.0, 1.0, -2.0, 0.5, 7.0], None),
        (lambda t: 10 * jnp.abs(t[1] - jnp.square(t[0])) + jnp.square(1 - t[0]) + 2, [-1.2, 1.0], 2.0),
    ],
    ids=["two corners", "a maximum in five", "a bent ridge"],
)
def test_a_minimum_at_a_kink_is_recognised_by_the_hull_of_gradients(function, start, minimum):
    result = tune(function, jnp.array(start), max_solves=5000)
    assert result.status is Outcome.stationary_kink, str(result)
    assert result.stationarity.distance <= 1e-6 * abs(result.value)
    assert len(result.stationarity.elements) > 1
    assert (np.linalg.norm(result.stationarity.elements, axis=1) > 1e-3).any()
    if minimum is not None:
        assert result.value == pytest.approx(minimum, abs=1e-5)


def test_one_number_and_any_function_gives_one_sided_slopes():
    result = tune(lambda t: jnp.maximum(-t, 3 * t) + 5, 0.7)
    assert result.status is Outcome.stationary_kink
    assert result.one_sided_slopes == pytest.approx((-1, 3))
    assert result.theta.shape == ()


def test_a_hypergradient_through_solve_tunes_one_penalty_per_feature():
    random = np.random.default_rng(0)
    X = random.standard_normal((24, 3))
    y = X @ np.array([3.0, 0.0, 0.0]) + 0.5 * random.standard_normal(24)

    def hold_out(theta):
        w = icg.solve(icg.lasso(X[:12], y[:12], jnp.exp(theta))).value
        return jnp.mean(jnp.square(X[12:] @ w - y[12:]))

    result = tune(hold_out, jnp.full(3, -2.0), max_solves=150)
    assert result.value < result.history[0].value
    folds = icg.tuning.HoldOut(lambda t: icg.lasso(X[:12], y[:12], jnp.exp(t)), X[12:], y[12:])
    assert tune(folds, jnp.full(3, -2.0), max_solves=150).value == pytest.approx(result.value, rel=1e-4)


def test_the_budget_the_callback_and_a_dead_end_are_named():
    assert tune(rosenbrock, {"a": -1.2, "b": [1.0]}, max_solves=5).status is Outcome.budget
    seen = []
    stopped = tune(rosenbrock, {"a": -1.2, "b": [1.0]}, callback=lambda step: seen.append(step) or len(seen) == 3)
    assert stopped.status is Outcome.stopped
    assert len(stopped.history) == 3
    # a gradient that lies: no step helps, and that is said
    lying = tune(lambda t: jnp.where(jnp.floor(t * 0) == 0, jnp.sum(t), 0.0) * 0 + _wrong_slope(t), jnp.asarray(1.0))
    assert lying.status is Outcome.no_progress
    assert "not in the hull" in lying.reason


def _wrong_slope(t):
    import jax

    # value (t - 1)^2 + 2, least at 1, with the constant derivative 1
    return jax.lax.stop_gradient(jnp.square(t - 1) + 2 - t) + t


def test_points_where_the_criterion_is_not_finite_are_avoided_and_reported():
    result = tune(lambda t: jnp.sum(jnp.square(jnp.log(t) + 1)), jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(result.theta, np.exp(-1), rtol=1e-5)
    with pytest.raises(RuntimeError, match="cannot be evaluated at theta0"):
        tune(lambda t: jnp.log(t), -1.0)
    with pytest.raises(ValueError, match="scalar"):
        tune(lambda t: t, jnp.zeros(2))


def test_float32_ends_stationary_to_its_precision():
    result = tune(lambda t: jnp.sum(jnp.cosh(t - 1)), jnp.zeros(3, jnp.float32))
    assert result.theta.dtype == jnp.float32
    assert result.converged
    np.testing.assert_allclose(result.theta, 1, atol=1e-2)


def test_an_interrupted_search_resumes_to_the_same_end(tmp_path):
    whole = tune(rosenbrock, {"a": -1.2, "b": [1.0]})
    calls = []

    def interrupt(step):
        calls.append(step)
        if len(calls) == 6:
            raise KeyboardInterrupt

    path = tmp_path / "kept" / "search.npz"
    with pytest.raises(KeyboardInterrupt):
        tune(rosenbrock, {"a": -1.2, "b": [1.0]}, checkpoint=path, callback=interrupt)
    assert [part.name for part in path.parent.iterdir()] == ["search.npz"]
    resumed = tune(rosenbrock, {"a": -1.2, "b": [1.0]}, checkpoint=path)
    assert resumed.value == whole.value
    assert resumed.solves == whole.solves
    again = tune(lambda _: 1 / 0, {"a": -1.2, "b": [1.0]}, checkpoint=path)  # every answer is in the file
    assert again.value == whole.value


def test_a_file_that_is_no_checkpoint_or_another_searchs_is_refused(tmp_path):
    path = tmp_path / "search.npz"
    tune(rosenbrock, {"a": 0.9, "b": [0.8]}, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another search: theta0"):
        tune(rosenbrock, {"a": 0.8, "b": [0.8]}, checkpoint=path)
    path.write_text("not ours")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        tune(rosenbrock, {"a": 0.9, "b": [0.8]}, checkpoint=path)


def test_progress_is_silent_without_a_terminal_and_shows_when_asked(capsys):
    tune(lambda t: jnp.square(t) + 1, 0.5)
    assert capsys.readouterr() == ("", "")
    tune(lambda t: jnp.square(t) + 1, 0.5, progress=True, max_solves=50)
    assert "tuning" in capsys.readouterr().err


def test_a_result_prints_what_a_user_needs():
    text = str(tune(lambda t: jnp.abs(t) + 1, 0.5))
    for word in ("theta", "criterion", "stationary_kink", "one-sided slopes", "solves"):
        assert word in text


def test_a_point_whose_derivative_was_refused_is_not_stepped_on():
    def evaluate(theta, near):
        low = theta[0] < 0.5  # lower there, but without a derivative
        gradient = np.array([[np.nan, 1.0]]) if low else 2 * (theta - 0.2)[None]
        return Point(theta, np.array([-1.0 if low else np.sum((theta - 0.2) ** 2)]), gradient, None, True)

    start = evaluate(np.array([1.0, 1.0]), None)
    box = (np.full(2, -9.0), np.full(2, 9.0))
    end = descend(evaluate, start, box, 1e-6, lambda: False, lambda point, slope, note: None, 0)
    assert end.point.theta[0] >= 0.5 and np.isfinite(end.point.gradient).all()


def test_descents_begin_anywhere_where_every_valley_refuses_its_derivative():
    """Tied samples refuse it at the start and along the lowest line of the path."""

    def evaluate(theta, near):
        del near
        refused = theta[0] <= 0
        slope = np.full((1, 2), np.nan) if refused else 2 * theta[None]
        return Point(theta, np.asarray([theta @ theta]), slope, None, True)

    box = Coordinates(jnp.zeros(2), bounds=(-jnp.ones(2), jnp.ones(2)))
    chosen = starting_points(evaluate, lambda thetas: None, box, 9, 0, lambda: False).chosen
    assert [tuple(point.theta) for point in chosen] == [(1.0, 0.0), (1.0, -1.0), (1.0, 1.0)]
