"""The global minimum over one penalty strength, against an independent enumeration of the path's pieces."""

import logging
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LassoCV, lars_path

import implicitcg as icg
import implicitcg.nonsmooth
from implicitcg.tuning import CrossValidation, HoldOut, Outcome, tune
from implicitcg.tuning.exact.fold_path import FoldPath


def brute_force(X, y, X_val, y_val, lowest):
    """Minimum of the hold-out loss over alpha in [lowest alpha_max, inf): exact on pieces, from LARS."""
    alphas, _, coefs = lars_path(X, y, method="lasso", alpha_min=lowest * np.max(np.abs(X.T @ y)) / len(y))
    residuals = coefs.T @ X_val.T - y_val
    candidates = [(np.mean(r**2), a) for r, a in zip(residuals, alphas, strict=True)]
    for i in range(len(alphas) - 1):
        start, move = residuals[i], residuals[i + 1] - residuals[i]
        t = -(start @ move) / max(move @ move, 1e-300)
        if 0 < t < 1:
            candidates.append((np.mean((start + t * move) ** 2), (1 - t) * alphas[i] + t * alphas[i + 1]))
    values = np.array([value for value, _ in candidates[: len(alphas)]])
    turns = int(np.sum((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])))
    return (*min(candidates), turns)


def split_data(seed):
    random = np.random.default_rng(seed)
    X = random.standard_normal((30, 10)) @ random.standard_normal((10, 10))
    w = random.standard_normal(10) * (random.random(10) < 0.4)
    y = X @ w + random.uniform(0, 8) * random.standard_normal(30)
    return X[:15], y[:15], X[15:], y[15:]


def test_diabetes_hold_out_minimum_is_global_sits_on_a_knot_and_has_exact_one_sided_slopes():
    X, y = load_diabetes(return_X_y=True)
    centre = y[:300].mean()
    train, target, X_val, y_val = X[:300], y[:300] - centre, X[300:], y[300:] - centre

    def loss(prediction, truth):
        return jnp.sum(jnp.square(prediction - truth)) / (2 * 142)

    for chosen, factor in ((loss, 2), ("squared", 1)):
        result = tune(HoldOut(lambda t: icg.lasso(train, target, jnp.exp(t)), X_val, y_val, chosen), 0.0)
        value, alpha, _ = brute_force(train, target, X_val, y_val, 1e-5)
        assert result.value * factor == pytest.approx(value, rel=1e-12)
        assert float(jnp.exp(result.theta)) == pytest.approx(alpha, rel=1e-12)
        assert result.status is Outcome.stationary_kink
        assert result.stationarity.distance == 0
        # differences inside the pieces on either side; central ones, since a piece is a parabola in alpha
        left, right = result.one_sided_slopes
        assert left * factor == pytest.approx(-7.91748, rel=1e-5)
        assert right * factor == pytest.approx(9.72575, rel=1e-5)
        np.testing.assert_allclose(result.stationarity.elements, [left, right])


def test_the_minimum_is_global_on_random_problems_of_every_kind():
    kinds = set()
    for seed in range(40):
        X, y, X_val, y_val = split_data(seed)
        result = tune(HoldOut(lambda t, X=X, y=y: icg.lasso(X, y, jnp.exp(t)), X_val, y_val), 0.0)
        lowest = float(np.exp(result.bounds[0]) / (np.max(np.abs(X.T @ y)) / len(y)))
        value, alpha, turns = brute_force(X, y, X_val, y_val, lowest)
        assert result.value == pytest.approx(value, rel=1e-9), seed
        if result.status in (Outcome.stationary_smooth, Outcome.stationary_kink):
            assert float(jnp.exp(result.theta)) == pytest.approx(alpha, rel=1e-6), seed
            if turns > 1:
                kinds.add("several local minima")
        kinds.add(result.status)
    assert kinds >= {Outcome.stationary_kink, Outcome.stationary_smooth, Outcome.flat, "several local minima"}


def test_noiseless_data_want_no_penalty_and_the_search_says_so():
    random = np.random.default_rng(0)
    X, w = random.standard_normal((40, 5)), np.arange(1.0, 6.0)
    result = tune(HoldOut(lambda t: icg.lasso(X[:20], (X @ w)[:20], jnp.exp(t)), X[20:], (X @ w)[20:]), 0.0)
    assert result.status is Outcome.at_lower_end
    assert not result.converged
    assert "lower end" in result.reason
    assert result.bounds[1] - result.bounds[0] > np.log(1e8)  # it looked further down


def test_a_useless_feature_set_is_best_left_empty():
    random = np.random.default_rng(1)
    X, y = random.standard_normal((30, 3)), random.standard_normal(30)
    result = tune(HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X, -y), 0.0)
    assert result.status is Outcome.flat
    assert float(jnp.exp(result.theta)) == pytest.approx(np.max(np.abs(X.T @ y)) / 30, rel=1e-12)
    assert result.one_sided_slopes[0] < 0 == result.one_sided_slopes[1]


def test_a_constant_response_returns_the_start_and_says_why():
    X = np.random.default_rng(2).standard_normal((20, 3))
    criterion = CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t), fit_intercept=True), X, np.ones(20), cv=4)
    result = tune(criterion, -1.0)
    assert float(result.theta) == -1.0
    assert result.status is Outcome.flat
    assert result.value == 0
    assert "constant" in str(result)


@pytest.mark.parametrize(
    ("strength", "start"),
    [(jnp.exp, 0.0), (lambda t: 10.0**t, -0.5), (lambda t: t, 0.1), (lambda t: jnp.exp(-t), 1.0)],
    ids=["exp", "powers of ten", "alpha itself", "decreasing"],
)
def test_the_hyperparameter_may_be_a_logarithm_alpha_itself_or_run_backwards(strength, start):
    X, y, X_val, y_val = split_data(0)
    expected, alpha, _ = brute_force(X, y, X_val, y_val, 1e-4)
    result = tune(HoldOut(lambda t: icg.lasso(X, y, strength(t["log"])), X_val, y_val), {"log": start})
    assert result.value == pytest.approx(expected, rel=1e-9)
    assert float(strength(result.theta["log"])) == pytest.approx(alpha, rel=1e-9)
    assert (np.diff(result.curve.theta) > 0).all()
    left, right = result.one_sided_slopes
    assert left <= 0 <= right or result.status is Outcome.stationary_smooth
    i = int(np.searchsorted(result.curve.theta, float(result.theta["log"])))
    assert result.curve.value[i] == pytest.approx(result.value, rel=1e-12)


def test_slopes_on_the_curve_are_the_hypergradients_of_the_criterion():
    X, y, X_val, y_val = split_data(3)
    criterion = HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X_val, y_val)
    result = tune(criterion, 0.0)
    gradient = jax.jit(jax.value_and_grad(criterion))
    for i in range(5, len(result.curve.theta), 40):
        theta = result.curve.theta[i] + 1e-9  # off the knots, where the slope is the one from the right
        value, slope = gradient(theta)
        assert float(value) == pytest.approx(result.curve.value[i], rel=1e-7)
        assert float(slope) == pytest.approx(result.curve.slope[i], rel=1e-5, abs=1e-6)


def test_cross_validation_agrees_with_lassocv_on_its_folds_and_beats_its_grid():
    X, y = load_diabetes(return_X_y=True)
    result = tune(
        CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t), fit_intercept=True), X, y, cv=5), jnp.log(0.1)
    )
    reference = LassoCV(cv=5, alphas=200, tol=1e-10, max_iter=100_000).fit(X, y)
    grid = reference.mse_path_.mean(axis=1)
    assert result.value <= grid.min() * (1 + 1e-9)
    assert result.value == pytest.approx(grid.min(), rel=1e-3)
    inside = np.log(reference.alphas_) > result.bounds[0]
    np.testing.assert_allclose(
        np.interp(np.log(reference.alphas_)[inside], result.curve.theta, result.curve.value), grid[inside], rtol=1e-3
    )  # the curve is a parabola between its points, so straight lines miss it by the square of their distance
    folds = reference.mse_path_[np.argmin(grid)]
    assert result.standard_error == pytest.approx(folds.std(ddof=1) / np.sqrt(5), rel=1e-2)


@pytest.mark.parametrize("loss", ["absolute", "huber"])
def test_other_convex_losses_reach_the_minimum_of_a_fine_grid(loss):
    X, y, X_val, y_val = split_data(5)
    result = tune(HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X_val, y_val, loss), 0.0)
    alphas, _, coefs = lars_path(X, y, method="lasso")
    fine = np.exp(np.linspace(*result.bounds, 20_001))
    size = np.abs(np.stack([np.interp(fine, alphas[::-1], w[::-1]) for w in coefs], axis=1) @ X_val.T - y_val)
    values = size if loss == "absolute" else np.where(size < 1, size**2 / 2, size - 0.5)
    grid = values.mean(axis=1).min()
    assert result.value <= grid * (1 + 1e-12)
    assert result.value == pytest.approx(grid, rel=1e-4)


def test_bounds_hold_and_an_end_that_still_falls_is_named():
    X, y, X_val, y_val = split_data(0)
    criterion = HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X_val, y_val)
    best = float(tune(criterion, 0.0).theta)
    assert tune(criterion, 0.0, bounds=(best - 3, best - 1)).status is Outcome.at_upper_end
    assert tune(criterion, 0.0, bounds=(best + 0.5, best + 1)).status is Outcome.at_lower_end
    with pytest.raises(ValueError, match="lower one first"):
        tune(criterion, 0.0, bounds=(1.0, -1.0))


def test_float32_reaches_the_float64_minimum_to_its_precision():
    X, y, X_val, y_val = (part.astype(np.float32) for part in split_data(0))
    expected, alpha, _ = brute_force(*(part.astype(np.float64) for part in (X, y, X_val, y_val)), 1e-4)
    result = tune(HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X_val, y_val), np.float32(0))
    assert result.theta.dtype == jnp.float32
    assert result.value == pytest.approx(expected, rel=1e-5)
    assert float(jnp.exp(result.theta)) == pytest.approx(alpha, rel=1e-5)


def test_at_a_knot_the_one_sided_slopes_are_the_elements_of_the_conservative_jacobian_through_solve():
    for X, y, X_val, y_val in map(split_data, range(10)):
        criterion = HoldOut(lambda t, X=X, y=y: icg.lasso(X, y, jnp.exp(t)), X_val, y_val)
        result = tune(criterion, 0.0)
        if result.status is Outcome.stationary_kink:
            break
    elements = icg.nonsmooth.conservative_jacobian(criterion, result.theta, tol=1e-9)
    np.testing.assert_allclose(np.sort(elements.vertices), result.one_sided_slopes, rtol=1e-9)
    assert elements.is_stationary()


def test_a_budget_that_an_exact_path_exceeds_is_not_passed_over_in_silence():
    X, y, X_val, y_val = split_data(0)
    result = tune(HoldOut(lambda t: icg.lasso(X, y, jnp.exp(t)), X_val, y_val), 0.0, max_solves=2)
    assert result.converged
    assert any("more than max_solves=2" in note for note in result.notes)


def test_a_path_killed_at_random_moments_resumes_to_the_same_result():
    script = Path(__file__).parent / "killed.py"
    told = subprocess.run(
        [sys.executable, str(script), "path", "4"], capture_output=True, text=True, timeout=300, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "the same result" in told.stdout


def test_a_budget_of_time_cuts_a_path_short_and_says_so(tmp_path):
    random = np.random.default_rng(3)
    X = random.standard_normal((30, 6))
    y = X @ np.ones(6) + 0.1 * random.standard_normal(30)  # the best penalty is tiny
    criterion = CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t)), X, y, cv=3)
    file = tmp_path / "path.npz"
    cut = tune(criterion, 0.0, max_seconds=0.0, checkpoint=file)
    assert cut.status is Outcome.budget and "cut short" in cut.scope
    whole, resumed = tune(criterion, 0.0), tune(criterion, 0.0, checkpoint=file)
    assert whole.value < cut.value and whole.converged
    assert resumed.theta == whole.theta and resumed.value == whole.value
    with pytest.raises(ValueError, match="belongs to another search"):
        tune(CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t)), X, 2 * y, cv=3), 0.0, checkpoint=file)


def test_ctrl_c_on_a_path_returns_the_best_of_what_was_walked(monkeypatch):
    random = np.random.default_rng(3)
    X, y = random.standard_normal((30, 6)), random.standard_normal(30)
    criterion = CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t)), X, y, cv=3)
    extend, calls = FoldPath.extend, []

    def interrupted(self, c_end):
        calls.append(c_end)
        if len(calls) == 8:
            raise KeyboardInterrupt
        extend(self, c_end)

    monkeypatch.setattr(FoldPath, "extend", interrupted)
    found = tune(criterion, 0.0)
    assert "cut short" in found.scope and any("Interrupted" in note for note in found.notes)


def test_an_exact_path_compiles_what_the_model_calls_and_nothing_else(caplog):
    random = np.random.default_rng(20)
    X, y = random.standard_normal((41, 7)), random.standard_normal(41)  # a shape that no other test has

    @jax.jit
    def strength(theta):
        return jnp.exp(theta)

    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        tune(CrossValidation(lambda X, y, theta: icg.lasso(X, y, strength(theta)), X, y), 0.1)
    compiled = [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()]
    assert len(compiled) == 1 and "jit(strength)" in compiled[0]
