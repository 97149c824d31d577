"""Transforms, bounds, optimisers, starts, budgets of time, interruptions: on functions that cost nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import implicitcg as icg
from implicitcg.tuning import Bounded, Fraction, Optax, Outcome, Positive, QuasiNewton, tune
from implicitcg.tuning.search.coordinates import Coordinates


def bowl(theta):
    return jnp.square(jnp.log(theta["alpha"]) - 1) + 4 * jnp.square(theta["ratio"] - 0.3) + 1


START = {"alpha": 0.1, "ratio": 0.9}
TRANSFORMS = {"alpha": Positive(), "ratio": Fraction()}


def test_transforms_go_there_and_back_and_the_model_sees_its_own_units():
    theta = {"a": jnp.array([0.1, 2.0]), "b": 0.25, "c": [1.5], "d": -3.0}
    made = Coordinates(theta, {"a": Positive(), "b": Fraction(), "c": Bounded(1.0, 3.0), "d": None})
    np.testing.assert_allclose(made.start, [np.log(0.1), np.log(2), np.log(1 / 3), np.log(1 / 3), -3], rtol=1e-15)
    for one, two in zip(jax.tree.leaves(made.natural(jnp.asarray(made.start))), jax.tree.leaves(theta), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-14)


def test_a_positive_number_and_a_fraction_are_tuned_together():
    result = tune(bowl, START, transforms=TRANSFORMS)
    assert result.status is Outcome.stationary_smooth
    assert float(result.theta["alpha"]) == pytest.approx(np.e, rel=1e-3)
    assert float(result.theta["ratio"]) == pytest.approx(0.3, abs=1e-3)
    np.testing.assert_allclose(result.place[0], np.log(result.theta["alpha"]), rtol=1e-12)
    assert "['ratio'] 0.3" in str(result)


def test_bounds_are_reached_kept_and_told():
    seen = []
    result = tune(
        bowl, START, transforms=TRANSFORMS, bounds={"alpha": (0.01, 2.0), "ratio": (0.5, 0.95)}, callback=seen.append
    )
    assert float(result.theta["alpha"]) == pytest.approx(2.0, rel=1e-12)
    assert float(result.theta["ratio"]) == pytest.approx(0.5, rel=1e-12)
    assert result.converged
    assert "2 of 2 hyperparameters on their bounds" in result.stationarity.verdict
    assert all(0.5 - 1e-12 <= float(step.theta["ratio"]) <= 0.95 + 1e-12 for step in seen)
    # one bound holds a corner: the other coordinate still finds its kink
    corner = tune(lambda t: jnp.abs(t[0] - 1) + jnp.square(t[1]) + 1, jnp.array([3.0, 2.0]), bounds=(0.5, 4.0))
    np.testing.assert_allclose(corner.theta, [1.0, 0.5], atol=1e-5)
    assert corner.status is Outcome.stationary_kink


def test_a_single_number_of_a_lasso_may_be_searched_by_transform_and_gives_the_same_minimum():
    random = np.random.default_rng(0)
    X = random.standard_normal((30, 5))
    y = X @ np.array([1.0, 0, 0, -1.0, 0]) + random.standard_normal(30)

    def natural(alpha):
        return icg.lasso(X[:15], y[:15], alpha)

    by_log = tune(icg.tuning.HoldOut(lambda t: natural(jnp.exp(t)), X[15:], y[15:]), 0.0)
    by_transform = tune(icg.tuning.HoldOut(natural, X[15:], y[15:]), 1.0, transforms=Positive())
    assert by_transform.value == pytest.approx(by_log.value, rel=1e-12)
    assert float(by_transform.theta) == pytest.approx(float(jnp.exp(by_log.theta)), rel=1e-10)
    assert by_transform.scope.startswith("global")
    inside = tune(icg.tuning.HoldOut(natural, X[15:], y[15:]), 1.0, transforms=Positive(), bounds=(1e-3, 2.0))
    np.testing.assert_allclose(np.exp(inside.bounds), [1e-3, 2.0])


def test_optimisers_of_optax_keep_the_best_point_and_say_whether_it_is_stationary():
    result = tune(bowl, START, transforms=TRANSFORMS, search=Optax(optax.adam(0.1), steps=400))
    assert result.value == pytest.approx(1.0, abs=1e-4)
    assert [step.value for step in result.history] == sorted((s.value for s in result.history), reverse=True)
    short = tune(bowl, START, transforms=TRANSFORMS, search=Optax(optax.adam(0.1), steps=3))
    assert short.status is Outcome.budget


def test_several_starts_find_the_deeper_valley():
    def valleys(t):
        return jnp.sum(jnp.square(jnp.square(t) - 4)) / 8 + 0.3 * jnp.sum(t) + 3

    start = jnp.array([1.9, 1.9])
    assert tune(valleys, start).value > tune(valleys, start, bounds=(-4.0, 4.0), starts=16).value + 1
    assert "of 8 starts" in tune(valleys, start, bounds=(-4.0, 4.0), starts=8).scope


def test_budgets_of_time_and_ctrl_c_return_the_best_point_so_far():
    assert tune(bowl, START, transforms=TRANSFORMS, max_seconds=0.0).status is Outcome.budget
    # Ctrl-C before anything is known is passed on
    with pytest.raises(KeyboardInterrupt):
        tune(_interrupted, jnp.asarray(1.0), search=QuasiNewton())


def _interrupted(theta):
    raise KeyboardInterrupt


def test_ctrl_c_in_the_middle_of_a_search_keeps_what_was_found(monkeypatch):
    from implicitcg.tuning.search.oracle import FunctionOracle

    evaluate, calls = FunctionOracle._evaluate, []

    def interrupting(self, flat, near):
        calls.append(flat)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(self, flat, near)

    monkeypatch.setattr(FunctionOracle, "_evaluate", interrupting)
    result = tune(bowl, START, transforms=TRANSFORMS)
    assert result.status is Outcome.stopped
    assert len(calls) == 4
    assert result.value == min(step.value for step in result.history)
    assert any("Interrupted" in note for note in result.notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"transforms": {"alpha": "log", "ratio": None}}, TypeError, "Positive"),
        ({"transforms": {"beta": Positive()}}, ValueError, "structure of theta0"),
        ({"bounds": {"alpha": (2.0, 1.0), "ratio": None}}, ValueError, "lower one first"),
        ({"search": "adam"}, TypeError, "QuasiNewton"),
    ],
)
def test_wrong_options_are_told(options, error, message):
    with pytest.raises(error, match=message):
        tune(bowl, START, **options)
    with pytest.raises(ValueError, match="outside the domain"):
        tune(bowl, {"alpha": -1.0, "ratio": 0.5}, transforms=TRANSFORMS)


def test_a_coarse_path_in_one_or_two_dimensions_finds_the_valley_that_a_descent_from_theta0_misses():
    def wave(t):  # valleys of |sin|, the lowest at 4
        return jnp.sum(jnp.abs(jnp.sin(jnp.pi * t / 2)) + 0.1 * jnp.abs(t - 4)) + 1

    assert float(tune(wave, -1.9).theta) == pytest.approx(-2, abs=1e-5)  # a kink: as near as the value can tell
    line = tune(wave, -1.9, starts=33, bounds=(-8.0, 8.0))
    assert float(line.theta) == pytest.approx(4, abs=1e-5) and line.status is Outcome.stationary_kink
    assert "3 descents, from the lowest valleys of a coarse path of 33 points" in line.scope
    assert len(line.curve.theta) >= 33 and line.bounds == (-8, 8) and line.curve.value.min() == line.value
    plane = tune(wave, jnp.array([-1.9, 2.1]), starts=100, bounds=(-5.0, 5.0), max_solves=4000)
    np.testing.assert_allclose(plane.theta, [4, 4], atol=1e-4)
    assert "coarse path of 100 points" in plane.scope
