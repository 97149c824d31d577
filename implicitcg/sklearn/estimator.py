"""What all estimators share: checking the data, searching the hyperparameters, and fitting with them on all rows."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Self

import jax
import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import (
    _check_sample_weight,  # public in all but name: scikit-learn's guide for developers recommends it
    check_is_fitted,
    validate_data,
)

from ..base import SolveError, code_of
from ..core import Certificate
from ..tuning import Outcome, Step, TuneResult, tune
from ..tuning.exact.rows import coefficients
from .criterion import FamilyFolds
from .families import AbstractFamily, Groups, SearchBox
from .folds import folds_of, scoring_of
from .thresholds import THRESHOLDS


class AbstractGradientCV(BaseEstimator, abc.ABC):
    """A linear model whose hyperparameters minimise a cross-validated loss, found by its derivatives.

    Fits are made in double precision; `coef_` has the precision of `X`. JAX's configuration is not changed. Small data
    (up to 256 rows and 32 columns) are filled up to one size, so that one compiled program serves them all.

    Args:
        fit_intercept: whether an intercept is fitted.
        cv: a number of folds (5 by default, stratified for classes), a splitter of scikit-learn, or pairs of index
            arrays. Folds count equally.
        scoring: the loss on the folds that is minimised: `"squared"`, `"absolute"`, `"huber"`, `"logistic"`,
            `"hinge"`, scikit-learn's `"neg_mean_squared_error"`, `"neg_mean_absolute_error"`, `"neg_log_loss"`, `"r2"`,
            or a function `(prediction, target) -> scalar` of JAX arrays, a mean over samples. By default squared, for
            classes logistic. `score` remains scikit-learn's.
        tol: how small the hypergradient must be, relative to the loss, to call the end stationary.
        max_solves: the budget of inner solves (one for each fold and set of hyperparameters); by default 1000
            evaluations of one hyperparameter, 300 of several, and no limit on an exact path.
        n_jobs: workers of joblib: folds of an exact path (of an elastic net, its ridges) in processes, other folds in
            threads. `None`: one, unless a `joblib.parallel_config` says otherwise.
        verbose: whether to show how the search is going.
        random_state: of the points where searches over several hyperparameters begin.

    Attributes:
        coef_: the coefficients of the model on all rows.
        intercept_: its constant.
        alpha_: the penalty chosen (and `l1_ratio_`, or `C_` and `epsilon_`).
        n_iter_: inner solves spent; on an exact path, pieces examined.
        history_: the accepted steps of the search, a list of dictionaries.
        tuning_: the whole `icg.tuning` result: `print` it, or `tuning_.plot()`.
        converged_: whether the end of the search is stationary.
        certificate_: the `icg.Certificate` of the model on all rows.
        n_features_in_: how many columns `X` had.
        feature_names_in_: their names, if it had names.
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        cv: Any = None,
        scoring: Any = None,
        tol: float = 1e-7,
        max_solves: int | None = None,
        n_jobs: int | None = None,
        verbose: bool | int = False,
        random_state: Any = None,
    ):
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.tol = tol
        self.max_solves = max_solves
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abc.abstractmethod
    def _family(self) -> AbstractFamily:
        """The model that is tuned."""

    @abc.abstractmethod
    def _responses(self, y: Any) -> np.ndarray:
        """Responses as the model takes them."""

    def _default_scoring(self) -> str:
        return "squared"

    def _groups(self, p: int) -> Groups | None:
        del p
        return None

    def _store(self, coef: np.ndarray, intercept: np.ndarray, dtype: Any) -> None:
        """Set `coef_` and `intercept_`."""
        self.coef_, self.intercept_ = coef.astype(dtype), intercept.astype(dtype)
        if self.intercept_.ndim == 0:
            self.intercept_ = float(self.intercept_)

    _evaluations = THRESHOLDS.evaluations
    _classifier = False
    _multi_output = False
    _filler = 0.0

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the hyperparameters by cross-validation, then fit on all rows.

        Args:
            X: features `(n, p)`, dense or sparse.
            y: responses `(n,)`.
            sample_weight: one per row `(n,)`, nonnegative. They weigh rows in the fits and in the losses of the folds.

        Returns:
            The estimator itself.

        Raises:
            ValueError: bad data, folds or scoring, with advice. RuntimeError: no inner solve succeeded, or the last
            one failed, with the advice of the solver.
        """
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc", "coo"],
            dtype=[np.float64, np.float32],
            y_numeric=not self._classifier,
            multi_output=self._multi_output,
        )
        dtype = X.dtype
        weights = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))
        if not weights.sum() > 0:
            raise ValueError("sample_weight is zero everywhere: there is no sample to fit.")
        y = self._responses(y)
        if scipy.sparse.issparse(X) and X.shape[0] * X.shape[1] <= THRESHOLDS.dense:
            X = X.toarray()
        X = X.astype(np.float64)
        scoring = scoring_of(self.scoring, self._default_scoring())
        folds = folds_of(self.cv, y, weights, classifier=self._classifier, per_variance=scoring.per_variance)
        groups = self._groups(X.shape[1])
        family = self._family()
        origin = family.origin(X, y, weights)
        X = X if np.ndim(origin[0]) == 0 else X - origin[0]
        data = X, y - origin[1], groups, weights, folds
        with jax.enable_x64(True):
            criterion = FamilyFolds(family, *data, scoring.loss, self._filler, self._evaluations, self.n_jobs)
            result = self._search(criterion)
            self._finish(criterion, result, origin, dtype)
        return self

    def _search(self, criterion: FamilyFolds) -> TuneResult:
        """The best hyperparameters over the folds.

        Raises:
            RuntimeError: an inner solve failed at the best.
        """
        box = self._box(criterion)
        options: dict[str, Any] = {}
        if len(box.start) > 1:
            most = criterion.budget(True) if self.max_solves is None else self.max_solves
            options["bounds"] = box.low, box.high
            options["starts"] = self._starts(most // len(criterion.folds))
            options["seed"] = int(check_random_state(self.random_state).randint(2**31 - 1))
        else:
            criterion.span = float(box.low[0]), float(box.high[0])
        start = box.start if len(box.start) > 1 else box.start[0]
        result = tune(
            criterion, start, tol=self.tol, max_solves=self.max_solves, progress=bool(self.verbose), **options
        )
        if result.status is Outcome.inner_failure:
            raise RuntimeError(" ".join([result.reason, *result.notes]))
        return result

    def _box(self, criterion: FamilyFolds) -> SearchBox:
        return criterion.family.box(criterion.empty_from(), criterion.host, np.asarray(criterion.y), criterion.weights)

    def _starts(self, evaluations: int) -> int:
        """How many points are looked at before descents begin, of so many evaluations."""
        del evaluations
        return 1

    def _finish(self, criterion: FamilyFolds, result: TuneResult, origin: tuple[Any, Any], dtype: Any) -> None:
        """Fit on all rows at the hyperparameters chosen, certify, and set the attributes."""
        assert result.place is not None
        theta, weights = np.asarray(result.place, np.float64), criterion.weights
        family, data = criterion.family, criterion.filled()
        problem, start = data.posed(theta, weights)
        known = None
        if (l1 := family.l1_and_ridge(theta)) is not None and criterion.dense:
            known = coefficients(criterion.host, np.asarray(criterion.y), weights, self.fit_intercept, *l1)
        if known is None:
            root, status = data.solved(theta, weights, start)
            if int(np.asarray(code_of(status))) != 0:
                raise SolveError(status, "This was the fit on all rows, at the hyperparameters that the folds chose.")
        else:
            root = jax.device_put(np.pad(known[0], (0, start.size - known[0].size)))
        coef, intercept, residual = data.read(problem, root)
        self.certificate_: Certificate = problem.certificate(np.asarray(root), float(residual), None)
        coef, intercept = (coef, intercept) if known is None else known
        coef = np.asarray(coef)[: criterion.X.shape[1]]
        back = np.asarray(intercept) + origin[1] - np.broadcast_to(origin[0], len(coef)) @ coef
        self._store(coef, back, dtype)
        for name, value in family.attributes(theta).items():
            setattr(self, name, value)
        self.history_ = [self._told(family, step) for step in result.history]
        self.tuning_ = _on_host(result)
        self.n_iter_ = int(result.solves)
        self.converged_ = result.converged

    def _told(self, family: AbstractFamily, step: Step) -> dict[str, Any]:
        """A step of the search as plain numbers."""
        flat = np.atleast_1d(np.asarray(step.theta, np.float64))
        told = {name.removesuffix("_"): value for name, value in family.attributes(flat).items()}
        return {**told, "loss": step.value, "slope": step.slope, "solves": step.solves, "seconds": step.seconds}

    def _linear(self, X: Any) -> np.ndarray:
        """`X coef + intercept` of new rows, checked."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc", "coo"], dtype=[np.float64, np.float32], reset=False)
        return np.asarray(safe_sparse_dot(X, np.asarray(self.coef_).T, dense_output=True)) + self.intercept_


def _on_host(result: TuneResult) -> TuneResult:
    """The result without arrays of JAX, which other machines may lack."""
    steps = [dataclasses.replace(step, theta=np.asarray(step.theta)) for step in result.history]
    return dataclasses.replace(result, theta=np.asarray(result.theta), history=steps)
