"""One hyperparameter of a model whose path is not known in closed form: search by solves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.tuning import CrossValidation, HoldOut, Outcome, tune

RANDOM = np.random.default_rng(7)
X = RANDOM.standard_normal((16, 4)) @ (np.eye(4) + 0.4)
y = X @ np.array([2.0, 0.0, 0.0, -1.5]) + 3.0 * RANDOM.standard_normal(16)
FLOOR = jnp.array([0.0, 0.05, 0.1, 0.0])  # penalties that do not scale with theta: no exact path


def model(X, y, theta):
    return icg.lasso(X, y, jnp.exp(theta) + FLOOR)


CRITERION = CrossValidation(model, X, y, cv=2)


@pytest.fixture(scope="module")
def result():
    return tune(CRITERION, 0.0)


@pytest.fixture(scope="module")
def grid():
    """The criterion on 20001 points of the range: folds solved at once."""
    train = jnp.stack([jnp.asarray(fold.train) for fold in CRITERION.folds])
    test = jnp.stack([jnp.asarray(fold.test) for fold in CRITERION.folds])
    features, target = CRITERION.X, CRITERION.y

    @jax.jit
    def losses(thetas):
        def one(theta, rows):
            w = icg.solve(model(features[rows[0]], target[rows[0]], theta), throw=False).value
            return jnp.mean(jnp.square(features[rows[1]] @ w - target[rows[1]]))

        return jax.lax.map(lambda t: jnp.mean(jax.lax.map(lambda rows: one(t, rows), (train, test))), thetas)

    return lambda low, high: np.asarray(losses(jnp.linspace(low, high, 20_001)))


def test_the_best_point_is_below_a_fine_grid_of_the_range_it_found(result, grid):
    values = grid(*result.bounds)
    assert result.value <= values.min() * (1 + 1e-9)
    assert result.value == pytest.approx(values.min(), rel=1e-4)  # the grid misses the kink by its step times the slope
    assert result.solves < 1000


def test_a_second_search_on_other_data_of_the_same_shape_compiles_no_solver(result, caplog):
    other = y + RANDOM.standard_normal(16)
    with jax.log_compiles():
        found = tune(CrossValidation(model, X, other, cv=2), 0.0, max_solves=20)
    assert "Finished XLA compilation of jit(evaluate)" not in caplog.text  # traced and lowered, but no more
    assert found.value == pytest.approx(float(CrossValidation(model, X, other, cv=2)(found.theta)), rel=1e-9)
    assert found.value != result.value


def test_the_range_begins_where_the_solutions_are_empty_and_spans_four_decades(result):
    low, high = result.bounds
    assert high - low >= np.log(1e4) - 1e-9
    assert result.curve.slope[-1] == 0


def test_the_end_is_stationary_and_says_how_far_the_claim_goes(result):
    assert result.converged
    assert "every promising cell" in result.scope
    assert result.stationarity.distance <= 1e-5 * result.value
    assert np.isfinite(result.standard_error)
    values = [step.value for step in result.history]
    assert values == sorted(values, reverse=True)
    assert (np.diff(result.curve.theta) > 0).all()


def test_a_small_budget_ends_early_and_says_so():
    short = tune(HoldOut(lambda t: model(X[:8], y[:8], t), X[8:], y[8:]), 0.0, max_solves=20, bounds=(-8.0, -1.0))
    assert short.solves <= 22
    assert short.status in (Outcome.budget, Outcome.at_lower_end, Outcome.at_upper_end) or "cut short" in short.scope


def test_failed_inner_solves_are_avoided_and_told():
    def fragile(t):
        weak = icg.lasso(X[:8], y[:8], jnp.exp(t) + FLOOR)
        return icg.lasso(X[:8], jnp.where(t < -3.0, jnp.nan, 1.0) * y[:8], weak.penalty.alpha)

    told = tune(HoldOut(fragile, X[8:], y[8:]), 0.0, max_solves=120)
    assert np.isfinite(told.value)
    assert float(told.theta) >= -3.0
    assert any("An inner solve failed" in note and "NaN" in note for note in told.notes)


def test_a_criterion_that_can_be_evaluated_nowhere_raises_with_the_reason():
    criterion = HoldOut(lambda t: model(X[:8], y[:8], t), X[8:], y[8:], lambda p, t: jnp.sum(p - t) * jnp.nan)
    with pytest.raises(RuntimeError, match="could not be evaluated anywhere"):
        tune(criterion, 0.0, max_solves=10, bounds=(-6.0, -5.0))
