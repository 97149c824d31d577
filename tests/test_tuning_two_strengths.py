"""An elastic net searched by exact paths: the paths, the derivative by the ridge, the minimum and its bounds."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, enet_path

from implicitcg.sklearn import GradientElasticNetCV, GradientLassoCV
from implicitcg.tuning import Outcome
from implicitcg.tuning.criteria.folds import split
from implicitcg.tuning.criteria.losses import squared
from implicitcg.tuning.exact.fold_path import FoldPath
from implicitcg.tuning.exact.minimise import Sampler
from implicitcg.tuning.exact.path import LassoPath
from implicitcg.tuning.exact.two_strengths import LEAST_SHARE, by_ridge, tune_elastic_net
from implicitcg.tuning.search.journal import Journal
from implicitcg.tuning.search.log import Progress


def data(seed):
    """Few factors behind many features: with a dense truth a ridge helps."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((60, 4)) @ random.standard_normal((4, 30)) + 0.5 * random.standard_normal((60, 30))
    truth = random.standard_normal(30) * (1 if seed % 2 else random.random(30) < 0.5)
    return X, 0.3 * X @ truth + 2 * random.standard_normal(60)


def folds_of(X, y):
    return [FoldPath(LassoPath(X[a], y[a], np.ones(X.shape[1]), True), X[b], y[b]) for a, b in split(5, X, y)]


def search(seed):
    return tune_elastic_net(folds_of(*data(seed)), 1e-7, Journal(Progress(False, None), None, None, None))


def lowest_on_a_grid(seed):
    X, y = data(seed)
    ratios, alphas = np.linspace(LEAST_SHARE, 1, 20), np.geomspace(50, 0.05, 30)
    errors = np.zeros((len(ratios), len(alphas)))
    for train, test in split(5, X, y):
        centre, level = X[train].mean(0), y[train].mean()
        for i, ratio in enumerate(ratios):
            rows = X[train] - centre, y[train] - level
            _, coefs, _ = enet_path(*rows, l1_ratio=ratio, alphas=alphas, tol=1e-6, max_iter=100_000)
            errors[i] += np.mean(np.square((X[test] - centre) @ coefs + level - y[test][:, None]), axis=0) / 5
    return errors.min()


def test_a_path_with_a_ridge_is_the_elastic_net_of_scikit_learn_at_every_knot():
    X, y = data(3)
    path = LassoPath(X, y, np.ones(30), True).with_ridge(0.3)
    for knot in path.advance(0.02)[1::9]:
        alpha = knot.c + 0.3
        same = ElasticNet(alpha, l1_ratio=knot.c / alpha, tol=1e-12, max_iter=100_000).fit(X, y)
        np.testing.assert_allclose(knot.coef, same.coef_, atol=1e-7)
        assert path.gap(knot.coef, knot.c) >= 0


def test_the_derivative_by_the_ridge_is_that_of_differences():
    folds, h = folds_of(*data(3)), 1e-6

    def sampled(ridge):
        moved = [fold.with_ridge(ridge) for fold in folds]
        for fold in moved:
            fold.extend(0.05)
        return moved

    here, c = sampled(0.3), np.array([0.0777])  # no knot
    ends = [float(Sampler(sampled(0.3 + step), squared)(c, True).values.mean()) for step in (-h, h)]
    # the loss has rounding 1e-16, the difference of it 1e-10; third derivatives times h^2 are smaller
    assert by_ridge(here, c[0], True) == pytest.approx((ends[1] - ends[0]) / (2 * h), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_the_minimum_is_below_a_fine_grid_and_stationary_inside_and_on_the_bounds(seed):
    found = search(seed)
    assert found.value <= lowest_on_a_grid(seed)
    assert found.converged and found.stationarity.distance <= 1e-7 * found.value
    values = [step.value for step in found.history]
    assert values == sorted(values, reverse=True)


def test_a_minimum_on_a_kink_is_stationary_in_the_set_sense_and_says_so():
    found = search(5)
    assert found.status is Outcome.stationary_kink and "at a kink" in found.stationarity.verdict
    assert np.linalg.norm(found.stationarity.elements, axis=1).min() > 1e-3 * found.value


def test_a_budget_and_the_callback_end_it():
    short = tune_elastic_net(folds_of(*data(5)), 1e-7, Journal(Progress(False, None), None, 500, None))
    assert short.status is Outcome.budget and short.solves < 1000
    journal = Journal(Progress(False, None), lambda step: True, None, None)
    stopped = tune_elastic_net(folds_of(*data(3)), 1e-7, journal)
    assert stopped.status is Outcome.stopped and len(stopped.history) == 1


def test_the_estimator_is_the_model_at_what_it_chose_and_no_worse_than_the_lasso():
    X, y = data(5)
    weights = np.where(np.arange(60) % 3, 1.0, 2.0)
    model = GradientElasticNetCV().fit(X, y, weights)
    assert 0.01 < model.l1_ratio_ < 1 and model.converged_ and model.certificate_.verdict == "certified"
    assert model.tuning_.value < GradientLassoCV().fit(X, y, weights).tuning_.value
    same = ElasticNet(model.alpha_, l1_ratio=model.l1_ratio_, tol=1e-12, max_iter=100_000).fit(X, y, weights)
    np.testing.assert_allclose(model.coef_, same.coef_, atol=1e-6)
    assert model.history_[-1]["l1_ratio"] == model.l1_ratio_


def test_ridges_walked_elsewhere_give_the_same_answer_and_more_work():
    alone, journal = search(5), Journal(Progress(False, None), None, None, None)

    def elsewhere(walk, ridges):
        walk = pickle.loads(pickle.dumps(walk))  # as another process gets it
        return [walk(ridge) for ridge in ridges]

    together = tune_elastic_net(folds_of(*data(5)), 1e-7, journal, elsewhere)
    assert together.value == alone.value and together.solves >= alone.solves
    np.testing.assert_array_equal(together.theta, alone.theta)
    X, y = data(5)
    parallel = GradientElasticNetCV(n_jobs=2).fit(X, y)
    assert parallel.alpha_ == GradientElasticNetCV().fit(X, y).alpha_
