"""What all estimators share: checking the data, searching the hyperparameters, and fitting with them on all rows."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, NamedTuple, Self

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
from ..tuning.exact.path import PathBroken
from ..tuning.result import Outcome, Step, TuneResult
from ..tuning.search.by_descent import tune_by_descent
from ..tuning.search.by_solves import tune_by_solves
from ..tuning.search.coordinates import Coordinates
from ..tuning.search.journal import Journal
from ..tuning.search.log import Progress
from ..tuning.search.strategies import QuasiNewton
from . import exact
from .families import AbstractFamily, Box, ElasticNet, Groups, Lasso
from .folds import Folds, Scoring, folds_of, scoring_of
from .oracle import Data, WeightedFoldsOracle, filled, posed, read, solved

DENSE = 4_000_000  # entries up to which a sparse X is filled: 32 MB, and every method is quicker on it
EVALUATIONS = 1000, 300  # of the criterion at most, by default: for one hyperparameter, and for several
FURTHER = 3  # decades that the range of a single penalty grows by where the best is its lower end


class Task(NamedTuple):
    """What one fit works on: the family, the data as they came and as programs take them, the folds and the loss."""

    family: AbstractFamily
    X: Any
    y: np.ndarray
    weights: np.ndarray
    groups: Groups | None
    folds: Folds
    scoring: Scoring
    data: Data

    @property
    def dense(self) -> bool:
        """Whether `X` is a NumPy array."""
        return not scipy.sparse.issparse(self.X)

    def empty_from(self) -> float:
        """The penalty at which every coefficient is zero in every fold; 1 where no feature correlates."""
        strongest = 0.0
        for train in self.folds.train:
            residual = self.family.null_residual(self.y, train)
            weighted = (train / train.sum()).reshape(-1, *[1] * (residual.ndim - 1)) * residual
            correlations = np.asarray(self.X.T @ weighted)
            strongest = max(strongest, float(np.max(self.family.strengths(correlations, self.groups))))
        return strongest or 1.0


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

    _evaluations = EVALUATIONS
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
        if scipy.sparse.issparse(X) and X.shape[0] * X.shape[1] <= DENSE:
            X = X.toarray()
        X = X.astype(np.float64)
        scoring = scoring_of(self.scoring, self._default_scoring())
        folds = folds_of(self.cv, X, y, weights, classifier=self._classifier, per_variance=scoring.per_variance)
        with jax.enable_x64(True), Progress(bool(self.verbose), self.max_solves) as display:
            family, groups = self._family(), self._groups(X.shape[1])
            data = filled(family, X, y, groups, self._filler)
            task = Task(family, X, y, weights, groups, folds, scoring, data)
            self._fit(task, Journal(display, None, None), dtype)
        return self

    def _fit(self, task: Task, journal: Journal, dtype: Any) -> None:
        exactly = isinstance(task.family, Lasso | ElasticNet) and task.dense
        result, known = None, None
        if exactly and exact.applies(task.scoring.loss, task.folds):
            try:
                result = self._exactly(task, journal)
            except PathBroken as broken:
                journal.tell(f"The pieces could not all be examined ({broken}), so the search went by solves.")
        if result is None:
            result = self._search(task, journal)
        if result.status is Outcome.inner_failure:
            raise RuntimeError(" ".join([result.reason, *result.notes]))
        assert result.place is not None
        theta = np.asarray(result.place, np.float64)
        if exactly:
            alpha, share = float(np.exp(theta[0])), float(theta[1]) if len(theta) > 1 else 1.0
            strengths = alpha * share, alpha * (1 - share)
            known = exact.coefficients(task.X, task.y, task.weights, self.fit_intercept, *strengths)
        self._finish(task, theta, known, dtype)
        for name, value in task.family.attributes(theta).items():
            setattr(self, name, value)
        self.history_ = [self._told(task.family, step) for step in result.history]
        self.tuning_ = _on_host(result)
        self.n_iter_ = int(result.solves)
        self.converged_ = result.converged

    def _exactly(self, task: Task, journal: Journal) -> TuneResult | None:
        """The search by exact paths; `None` where it cannot begin."""
        return self._along_path(task, journal)

    def _along_path(self, task: Task, journal: Journal) -> TuneResult:
        return exact.tune_lasso(task.X, task.y, task.folds, task.scoring.loss, self.fit_intercept, self.n_jobs, journal)

    def _search(self, task: Task, journal: Journal) -> TuneResult:
        box = self._box(task)
        several = len(box.start) > 1
        folds = len(task.folds.train)
        most = self._evaluations[several] * folds if self.max_solves is None else self.max_solves
        journal.max_solves = most
        oracle = WeightedFoldsOracle(
            task.family, task.scoring.loss, task.data, task.folds, box.start, self.n_jobs, journal
        )
        if several:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            where = _coordinates(box)
            return tune_by_descent(oracle, where, QuasiNewton(), self._starts(most // folds), self.tol, journal, seed)
        result = tune_by_solves(oracle, _coordinates(box), self.tol, journal)
        if result.status is Outcome.at_lower_end and not journal.exhausted:
            further = box._replace(low=box.low - FURTHER * np.log(10), high=box.low)
            deeper = tune_by_solves(oracle, _coordinates(further), self.tol, journal)
            result = deeper if deeper.value < result.value else result
        return result

    def _box(self, task: Task) -> Box:
        return task.family.box(task.empty_from(), task.X, task.y, task.weights)

    def _starts(self, evaluations: int) -> int:
        """How many points are looked at before descents begin, of so many evaluations."""
        del evaluations
        return 1

    def _lasso_place(self, task: Task) -> float | None:
        """The logarithm of the best penalty of a LASSO, where its exact path is known: a start for its relatives."""
        if not (task.dense and exact.applies(task.scoring.loss, task.folds)):
            return None
        try:
            found = self._along_path(task, Journal(Progress(False, None), None, None))
        except PathBroken:
            return None
        return None if found.place is None else float(found.place[0])

    def _finish(self, task: Task, theta: np.ndarray, known: tuple[np.ndarray, float] | None, dtype: Any) -> None:
        """Fit on all rows where the coefficients are not `known` already, and certify."""
        data, family = task.data, task.family
        hyper, rows = jax.device_put((data.theta_filled(family, theta), data.rows_filled(task.weights)))
        problem, start = posed(family, data.X, data.y, data.groups, hyper, rows)
        if known is None:
            root, status = solved(family, task.scoring.loss, data, hyper, rows, start)
            if int(np.asarray(code_of(status))) != 0:
                raise SolveError(status, "This was the fit on all rows, at the hyperparameters that the folds chose.")
        else:
            root = jax.device_put(np.pad(known[0], (0, start.size - known[0].size)))
        coef, intercept, residual = read(family, problem, root)
        self.certificate_: Certificate = problem.certificate(np.asarray(root), float(residual), None)
        coef, intercept = (coef, intercept) if known is None else known
        self._store(np.asarray(coef)[: data.columns], np.asarray(intercept), dtype)

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


def _coordinates(box: Box) -> Coordinates:
    return Coordinates(jax.device_put(box.start), bounds=(box.low, box.high))


def _on_host(result: TuneResult) -> TuneResult:
    """The result without arrays of JAX, which other machines may lack."""
    steps = [dataclasses.replace(step, theta=np.asarray(step.theta)) for step in result.history]
    return dataclasses.replace(result, theta=np.asarray(result.theta), history=steps)
