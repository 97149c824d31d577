"""Criteria: folds, losses, predictions, derivatives, and messages that help."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso
from sklearn.model_selection import KFold, ShuffleSplit

import implicitcg as icg
from implicitcg.tuning import CrossValidation, HoldOut, tune
from implicitcg.tuning.criteria import losses
from implicitcg.tuning.criteria.folds import split

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((13, 3))
y = X @ np.array([2.0, 0.0, -1.0]) + 1 + 0.3 * RANDOM.standard_normal(13)


def model(X, y, theta):
    return icg.lasso(X, y, jnp.exp(theta), fit_intercept=True)


CRITERION = CrossValidation(model, X, y, cv=3)
VALUE_AND_SLOPE = jax.jit(jax.value_and_grad(CRITERION))


def test_a_number_of_folds_means_contiguous_folds_as_in_scikit_learn():
    for ours, (train, test) in zip(split(3, X, y), KFold(3).split(X), strict=True):
        np.testing.assert_array_equal(ours.train, train)
        np.testing.assert_array_equal(ours.test, test)


def test_folds_may_come_from_a_splitter_from_index_arrays_or_from_masks():
    splitter = ShuffleSplit(2, random_state=0)
    pairs = list(splitter.split(X))
    masks = [(np.isin(np.arange(13), train), np.isin(np.arange(13), test)) for train, test in pairs]
    for folds in (split(splitter, X, y), split(pairs, X, y), split(masks, X, y)):
        np.testing.assert_array_equal(folds[1].test, np.sort(folds[1].test) if folds is masks else folds[1].test)
        assert sorted(folds[1].test) == sorted(pairs[1][1])


def test_the_value_is_the_mean_of_the_errors_of_scikit_learns_lasso():
    expected = []
    for train, test in KFold(3).split(X):
        fitted = Lasso(alpha=np.exp(-1.0), tol=1e-12).fit(X[train], y[train])
        expected.append(np.mean((fitted.predict(X[test]) - y[test]) ** 2))
    assert float(VALUE_AND_SLOPE(-1.0)[0]) == pytest.approx(np.mean(expected), rel=1e-8)


def test_the_slope_is_that_of_differences():
    h = 1e-5
    difference = (VALUE_AND_SLOPE(-1.0 + h)[0] - VALUE_AND_SLOPE(-1.0 - h)[0]) / (2 * h)
    assert float(VALUE_AND_SLOPE(-1.0)[1]) == pytest.approx(float(difference), rel=1e-6)


def test_predictions_add_an_intercept_where_there_is_one():
    features, coef = jnp.eye(2), jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(losses.predict(coef, features), [1, 2])
    with_intercept = icg.penalties.LinearModel(coef, jnp.asarray(0.5))
    np.testing.assert_array_equal(losses.predict(with_intercept, features), [1.5, 2.5])
    with pytest.raises(TypeError, match="one for each column"):
        losses.predict(jnp.ones(3), features)


@pytest.mark.parametrize(
    ("name", "value"), [("squared", 2.5), ("absolute", 1.5), ("huber", 1.0), ("hinge", 1.0)], ids=str
)
def test_losses_are_means_over_samples(name, value):
    assert float(losses.named(name)(jnp.array([2.0, 0.0]), jnp.array([0.0, 1.0]))) == pytest.approx(value)


def test_the_logistic_loss_is_that_of_the_label_times_the_score():
    assert float(losses.logistic(jnp.array([0.0, 2.0]), jnp.array([1.0, -1.0]))) == pytest.approx(
        (np.log(2) + np.log1p(np.exp(2))) / 2
    )


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: CrossValidation(model, X, y, cv=1), ValueError, "between 2 and 13"),
        (lambda: CrossValidation(model, X, y, cv=14), ValueError, "between 2 and 13"),
        (lambda: CrossValidation(model, X, y, cv=[([], [0])]), ValueError, "no row to fit on"),
        (lambda: CrossValidation(model, X, y, cv=[([99], [0])]), ValueError, "neither a number of folds"),
        (lambda: CrossValidation(model, X, y[:-1]), ValueError, "same n samples"),
        (lambda: CrossValidation(model, X, y, loss="cubed"), ValueError, "no loss called 'cubed'"),
        (lambda: CrossValidation(model, X, y, loss=3), TypeError, "a name or a callable"),
        (lambda: HoldOut(0.1, X, y), TypeError, "a function theta -> problem"),
        (lambda: HoldOut(model, X, np.append(y[:-1], np.nan)), ValueError, "NaN or infinite"),
        (lambda: HoldOut(lambda t: t, X, y)(0.0), TypeError, "must return a problem"),
        (lambda: tune("lasso", 0.0), TypeError, "function theta -> scalar"),
        (lambda: tune(CRITERION, np.nan), ValueError, "not finite"),
        (lambda: tune(CRITERION, []), ValueError, "empty"),
        (lambda: tune(CRITERION, "warm"), TypeError, "tree of numbers"),
        (lambda: tune(CRITERION, jnp.zeros(2), bounds=(1, 0)), ValueError, "the lower one first"),
        (lambda: tune(CRITERION, jnp.zeros(2), bounds=(np.zeros(3), 1)), ValueError, "does not fit its hyperparameter"),
        (lambda: jax.jit(lambda t: tune(CRITERION, t).value)(0.0), TypeError, "outside jit"),
    ],
)
def test_mistakes_are_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_weights_of_rows_are_repetitions_in_the_fits_in_the_losses_and_on_the_exact_path():
    weights = np.array([1, 2, 3] * 4 + [2])
    rows = np.repeat(np.arange(13), weights)
    folds = [(np.flatnonzero(np.arange(13) % 3 != k), np.flatnonzero(np.arange(13) % 3 == k)) for k in range(3)]
    same = [tuple(np.flatnonzero(np.isin(rows, side)) for side in fold) for fold in folds]
    weighted = CrossValidation(
        lambda X, y, t, s: icg.lasso(X, y, jnp.exp(t), fit_intercept=True, sample_weight=s),
        X,
        y,
        cv=folds,
        sample_weight=weights,
    )
    repeated = CrossValidation(
        lambda X, y, t: icg.lasso(X, y, jnp.exp(t), fit_intercept=True), X[rows], y[rows], cv=same
    )
    np.testing.assert_allclose(weighted(-1.0), repeated(-1.0), rtol=1e-9)
    found, expected = icg.tune(weighted, -1.0), icg.tune(repeated, -1.0)
    assert found.scope == expected.scope and "every piece" in found.scope
    np.testing.assert_allclose(found.theta, expected.theta, rtol=1e-9)
    np.testing.assert_allclose(found.fold_values, expected.fold_values, rtol=1e-9)
    with pytest.raises(ValueError, match="no weight to fit or to judge"):
        CrossValidation(weighted.model, X, y, cv=3, sample_weight=np.repeat([1.0, 0.0], [8, 5]))
