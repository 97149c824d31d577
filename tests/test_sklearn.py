"""The estimators for scikit-learn: its own checks, and what they find."""

import pickle
import sys
import warnings

import jax
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, LassoCV, LogisticRegression, MultiTaskLasso
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import implicitcg as icg
from implicitcg.sklearn import (
    GradientElasticNetCV,
    GradientGroupLassoCV,
    GradientLassoCV,
    GradientLinearSVRCV,
    GradientMultiTaskLassoCV,
    GradientSparseLogisticCV,
    GradientWeightedLassoCV,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((60, 8)) @ (np.eye(8) + 0.2)
y = X[:, :2] @ np.array([2.0, -1.5]) + RANDOM.standard_normal(60) + 3.0
DIABETES = load_diabetes(return_X_y=True)


# All pass (`check_estimator(...)`, a minute or two each); CI has time for three kinds: the exact path, a descent
# in many penalties, a classifier. A small budget keeps the fits short: the checks are about conventions, not optima.
@pytest.mark.parametrize(
    "estimator",
    [GradientLassoCV(), GradientWeightedLassoCV(max_solves=15), GradientSparseLogisticCV(max_solves=15)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_passes_the_checks_of_scikit_learn(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the checks provoke on purpose
        results = check_estimator(estimator, on_skip=None, on_fail="raise")
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    # skipped by scikit-learn itself where pandas or an array API is not set up, never by a tag of ours
    assert all(
        "sample_weights_pandas" in name or "data_not_an_array" in name or "array_api" in name for name in skipped
    )
    assert not any(result["status"] == "xfail" for result in results)


def test_the_lasso_is_no_worse_than_a_grid_of_a_thousand_and_is_the_lasso_of_scikit_learn():
    features, target = DIABETES
    model = GradientLassoCV().fit(features, target)
    peer = LassoCV(alphas=1000, tol=1e-8, max_iter=100_000).fit(features, target)
    assert model.tuning_.value <= peer.mse_path_.mean(axis=1).min() * (1 + 1e-6)  # its solves stop at a gap of 1e-8
    same = Lasso(model.alpha_, tol=1e-12, max_iter=100_000).fit(features, target)
    np.testing.assert_allclose(model.coef_, same.coef_, rtol=1e-6, atol=1e-6 * np.abs(same.coef_).max())
    assert model.intercept_ == pytest.approx(same.intercept_)
    assert model.converged_ and model.certificate_.verdict == "certified"
    assert model.history_[-1]["alpha"] == model.alpha_ and model.n_iter_ > 10


def test_sample_weights_are_repeated_rows_and_sparse_is_dense():
    weights = np.array([1, 2, 3] * 20)
    rows = np.repeat(np.arange(60), weights)
    groups = np.arange(60) % 4
    weighted = GradientLassoCV(cv=list(GroupKFold(4).split(X, y, groups))).fit(X, y, weights)
    cv = list(GroupKFold(4).split(X[rows], y[rows], groups[rows]))
    cv_same = [
        (np.flatnonzero(np.isin(groups[rows], g, invert=True)), np.flatnonzero(groups[rows] == g)) for g in range(4)
    ]
    repeated = GradientLassoCV(cv=cv_same).fit(X[rows], y[rows])
    assert len(cv) == 4
    assert weighted.alpha_ == pytest.approx(repeated.alpha_, rel=1e-9)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9, atol=1e-12)
    sparse = GradientLassoCV().fit(scipy.sparse.csr_array(X), y)
    np.testing.assert_allclose(sparse.coef_, GradientLassoCV().fit(X, y).coef_)
    np.testing.assert_allclose(sparse.predict(scipy.sparse.csc_array(X)), sparse.predict(X))


def test_the_elastic_net_and_the_weighted_lasso_are_no_worse_than_the_lasso_on_the_folds():
    lasso = GradientLassoCV().fit(X, y)
    net = GradientElasticNetCV(max_solves=150).fit(X, y)
    assert net.tuning_.value <= lasso.tuning_.value * (1 + 1e-9)
    same = ElasticNet(net.alpha_, l1_ratio=net.l1_ratio_, tol=1e-12, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(net.coef_, same.coef_, atol=1e-6)
    weighted = GradientWeightedLassoCV(max_solves=150).fit(X, y)
    assert weighted.tuning_.value < 0.999 * lasso.tuning_.value
    assert weighted.alpha_.shape == (8,)
    scaled = Lasso(1.0, tol=1e-12, max_iter=100_000).fit(X / weighted.alpha_, y)  # a penalty is a unit of its feature
    np.testing.assert_allclose(weighted.coef_, scaled.coef_ / weighted.alpha_, atol=1e-6)


def test_singleton_groups_are_the_lasso_and_whole_groups_enter_together():
    single = GradientGroupLassoCV().fit(X, y)
    assert single.tuning_.value == pytest.approx(GradientLassoCV().fit(X, y).tuning_.value, rel=1e-8)
    grouped = GradientGroupLassoCV([0, 0, 1, 1, 2, 2, 3, 3]).fit(X, y)
    inside = grouped.coef_.reshape(4, 2) != 0
    assert (inside.all(axis=1) | ~inside.any(axis=1)).all()


def test_several_responses_and_support_vectors_agree_with_scikit_learn_at_the_penalties_found():
    Y = np.stack([y, X @ np.ones(8)], axis=1)
    tasks = GradientMultiTaskLassoCV(cv=3, max_solves=90).fit(X, Y)
    same = MultiTaskLasso(tasks.alpha_, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(tasks.coef_, same.coef_, atol=1e-6)
    np.testing.assert_allclose(tasks.predict(X), same.predict(X), atol=1e-6)
    vectors = GradientLinearSVRCV(cv=3, max_solves=30).fit(X, y)
    assert vectors.score(X, y) > 0.8 and vectors.C_ > 0 and vectors.epsilon_ > 0
    assert vectors.alpha_ == 1 / vectors.C_


def test_the_classifier_tells_two_labels_apart_with_probabilities():
    features, label = load_breast_cancer(return_X_y=True)
    features = StandardScaler().fit_transform(features)[:200, :10]
    names = np.array(["benign", "malignant"])[label[:200]]
    model = GradientSparseLogisticCV(cv=3, max_solves=90).fit(features, names)
    assert list(model.classes_) == ["benign", "malignant"] and model.score(features, names) > 0.9
    same = LogisticRegression(l1_ratio=1.0, C=1 / (200 * model.alpha_), solver="saga", tol=1e-8, max_iter=20_000).fit(
        features, names
    )
    np.testing.assert_allclose(model.predict_proba(features), same.predict_proba(features), atol=1e-4)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(features)), model.predict_proba(features))
    assert ((model.decision_function(features) > 0) == (model.predict(features) == "malignant")).all()


def test_estimators_live_in_pipelines_and_survive_pickling_and_cloning():
    features, target = DIABETES
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), GradientLassoCV(cv=3))
    assert cross_val_score(pipeline, features, target, cv=3).mean() > 0.4
    model = GradientLassoCV(cv=KFold(4, shuffle=True, random_state=1), n_jobs=2).fit(X, y)
    alone = clone(model).set_params(n_jobs=None).fit(X, y)
    np.testing.assert_array_equal(model.coef_, alone.coef_)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(vars(again), is_leaf=lambda v: v is None))
    assert "global over the range" in str(again.tuning_)


@pytest.mark.parametrize("name", ["Lasso", "WeightedLasso", "MultiTaskLasso", "SparseLogistic"])
def test_an_estimator_with_an_intercept_does_not_mind_where_the_origin_lies(name):
    """A Gram matrix of features around 1000 keeps ten digits of what varies; centred once, all fits are the same."""
    random = np.random.default_rng(3)
    X = random.standard_normal((30, 5))
    y = X @ [1.0, 0.0, -2.0, 0.0, 0.5] + 0.5 * random.standard_normal(30)
    y = np.column_stack([y, -y]) if name == "MultiTaskLasso" else y > 0 if name == "SparseLogistic" else y
    weights = 1.0 + np.arange(30) % 3

    def fit(X, y):
        return getattr(icg.sklearn, f"Gradient{name}CV")(random_state=0).fit(X, y, sample_weight=weights)

    here, away = fit(X, y), [(fit(X + 1000, y), 1000, 0.0)]
    if name != "SparseLogistic":
        away.append((fit(X, y + 1e6), 0, 1e6))
    for there, features, responses in away:
        np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-6)
        intercept = here.intercept_ + responses - features * here.coef_.sum(axis=-1)
        np.testing.assert_allclose(there.intercept_, intercept, rtol=1e-6, atol=1e-3)


def test_scoring_is_what_the_folds_minimise():
    heavy = y + np.where(np.arange(60) % 15 == 0, 30.0, 0.0)
    absolute = GradientLassoCV(scoring="neg_mean_absolute_error").fit(X, heavy)
    squared = GradientLassoCV().fit(X, heavy)
    folds = [np.mean(np.abs(heavy[t] - Lasso(absolute.alpha_, tol=1e-10).fit(X[f], heavy[f]).predict(X[t])))
             for f, t in KFold(5).split(X)]  # fmt: skip
    assert absolute.tuning_.value == pytest.approx(np.mean(folds), rel=1e-6)
    assert absolute.alpha_ != squared.alpha_
    r2 = GradientLassoCV(scoring="r2").fit(X, y)
    scores = cross_val_score(Lasso(r2.alpha_, tol=1e-10), X, y, cv=5, scoring="r2")
    assert 1 - r2.tuning_.value == pytest.approx(scores.mean(), rel=1e-6)
    with pytest.raises(ValueError, match="not a loss that can be differentiated"):
        GradientLassoCV(scoring="accuracy").fit(X, y)
    with pytest.raises(TypeError, match="scoring is 3"):
        GradientLassoCV(scoring=3).fit(X, y)


def test_large_data_are_solved_fold_by_fold_in_threads():
    wide = RANDOM.standard_normal((40, 50))
    target = wide[:, 0] - wide[:, 1] + 0.1 * RANDOM.standard_normal(40)
    weights = np.ones(40)
    weights[:3] = 2.0
    together = GradientLassoCV(cv=2, scoring="huber", n_jobs=2, max_solves=80).fit(wide, target, weights)
    alone = GradientLassoCV(cv=2, scoring="huber", max_solves=80).fit(wide, target, weights)
    assert together.alpha_ == alone.alpha_ and together.score(wide, target) > 0.9


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="Only binary classification"):
        GradientSparseLogisticCV().fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="no weight to fit or to judge"):
        GradientLassoCV().fit(X, y, np.repeat([1.0, 0.0], [48, 12]))
    with pytest.raises(ValueError, match="GradientLassoCV"):
        GradientMultiTaskLassoCV().fit(X, y)


def test_without_scikit_learn_the_import_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delattr(icg, "sklearn")
    for name in [name for name in sys.modules if name.startswith("implicitcg.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"pip install 'implicitcg\[sklearn\]'"):
        icg.sklearn
