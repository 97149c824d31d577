"""Regressors: the LASSO and its relatives, and support vector regression."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin

from ..base import labels
from .criterion import FamilyFolds, lasso_place
from .estimator import AbstractGradientCV
from .families import (
    AbstractFamily,
    ElasticNetFamily,
    GroupLassoFamily,
    Groups,
    LassoFamily,
    LinearSVRFamily,
    MultiTaskLassoFamily,
    SearchBox,
    WeightedLassoFamily,
)
from .thresholds import THRESHOLDS


class AbstractGradientRegressorCV(RegressorMixin, AbstractGradientCV):
    """A regressor."""

    def _responses(self, y: Any) -> np.ndarray:
        return np.asarray(y, np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """`X coef + intercept` for rows `X (n, p)`."""
        return self._linear(X)


@final
class GradientLassoCV(AbstractGradientRegressorCV):
    """The LASSO with the penalty of least cross-validated loss, in the place of `LassoCV`.

    `min_w 1/(2n) ||y - X w - b||^2 + alpha ||w||_1`. Dense data take the exact path: all pieces between kinks are
    examined, so `alpha_` is the global minimum over its range and nothing is compiled. For the arguments and
    attributes see `AbstractGradientCV`.

    Example:
        >>> import numpy as np, implicitcg as icg
        >>> X, y = np.random.default_rng(0).standard_normal((40, 3)), np.arange(40.0)
        >>> model = icg.sklearn.GradientLassoCV().fit(X, y)
        >>> model.coef_.shape, model.certificate_.verdict
        ((3,), 'certified')

    Source: Bertrand et al., Implicit differentiation for fast hyperparameter selection in non-smooth convex learning,
    JMLR 2022; the path: Efron et al., Least angle regression, 2004.
    """

    def _family(self) -> AbstractFamily:
        return LassoFamily(self.fit_intercept)


@final
class GradientWeightedLassoCV(AbstractGradientRegressorCV):
    """The LASSO with one penalty per feature, all tuned at once: `alpha_` has shape `(p,)`.

    `min_w 1/(2n) ||y - X w - b||^2 + sum_j alpha_j |w_j|`. The search starts from the best common penalty and stays
    within a factor of 100 of it. Many penalties fitted to few rows overfit them: compare test errors with
    `GradientLassoCV` before you trust them. For the arguments and attributes see `AbstractGradientCV`.

    Source: Zou, The adaptive lasso and its oracle properties, JASA 2006; Bertrand et al., JMLR 2022.
    """

    def _family(self) -> AbstractFamily:
        return WeightedLassoFamily(self.fit_intercept)

    def _box(self, criterion: FamilyFolds) -> SearchBox:
        place, empty = lasso_place(criterion), criterion.empty_from()
        # a tiny penalty leaves more active features than rows, and then no derivative to start with
        start = 0.1 * empty if place is None else max(float(np.exp(place)), 1e-3 * empty)
        return criterion.family.box(10 * start, criterion.host, np.asarray(criterion.y), criterion.weights)


@final
class GradientElasticNetCV(AbstractGradientRegressorCV):
    """The elastic net with both of its hyperparameters tuned: `alpha_` and `l1_ratio_` (from 0.01 to 1).

    `min_w 1/(2n) ||y - X w - b||^2 + alpha r ||w||_1 + alpha (1 - r)/2 ||w||^2`. Dense data and a squared loss take
    exact paths in the l1 penalty, at ridges from none upwards in decades, and a local search from the best; only the
    certificate is compiled. Anything else takes descents from several starts. Both look at the best LASSO too, so the
    loss is at most that of `GradientLassoCV`. For the arguments and attributes see `AbstractGradientCV`.

    Source: Zou, Hastie, Regularization and variable selection via the elastic net, JRSS B 2005.
    """

    def _family(self) -> AbstractFamily:
        return ElasticNetFamily(self.fit_intercept)

    def _box(self, criterion: FamilyFolds) -> SearchBox:
        def nearby() -> np.ndarray | None:
            place = lasso_place(criterion)
            return None if place is None else np.array([place, 1.0])

        criterion.start_nearby = nearby
        return super()._box(criterion)

    def _starts(self, evaluations: int) -> int:
        del evaluations
        return 6


@final
class GradientGroupLassoCV(AbstractGradientRegressorCV):
    """The group LASSO with the penalty of least cross-validated loss.

    `min_w 1/(2n) ||y - X w - b||^2 + alpha sum_g sqrt(size_g) ||w_g||`. For the other arguments and attributes see
    `AbstractGradientCV`.

    Args:
        groups: the label of each feature's group, consecutive integers `(p,)`; `None`: every feature alone.

    Source: Yuan, Lin, Model selection and estimation in regression with grouped variables, JRSS B 2006.
    """

    def __init__(
        self,
        groups: Any = None,
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
        super().__init__(
            fit_intercept=fit_intercept,
            cv=cv,
            scoring=scoring,
            tol=tol,
            max_solves=max_solves,
            n_jobs=n_jobs,
            verbose=verbose,
            random_state=random_state,
        )
        self.groups = groups

    def _family(self) -> AbstractFamily:
        return GroupLassoFamily(self.fit_intercept)

    def _groups(self, p: int) -> Groups | None:
        found, sizes = labels.groups(np.arange(p) if self.groups is None else self.groups, p)
        return Groups(np.asarray(found), np.sqrt(np.asarray(sizes, np.float64)))


@final
class GradientMultiTaskLassoCV(MultiOutputMixin, AbstractGradientRegressorCV):
    """The LASSO of several responses `(n, t)` with the penalty of least cross-validated loss; `coef_` is `(t, p)`.

    `min_W 1/(2n) ||Y - X W - 1 b^T||^2 + alpha sum_j ||W_j||`. For the arguments and attributes see
    `AbstractGradientCV`.

    Source: Obozinski, Taskar, Jordan, Joint covariate selection and joint subspace selection, 2010.
    """

    _multi_output = True

    def _family(self) -> AbstractFamily:
        return MultiTaskLassoFamily(self.fit_intercept)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        return tags

    def _responses(self, y: Any) -> np.ndarray:
        if np.ndim(y) != 2:
            raise ValueError("y has one column; several tasks are (n, t). For one response take GradientLassoCV.")
        return np.asarray(y, np.float64)

    def _store(self, coef: np.ndarray, intercept: np.ndarray, dtype: Any) -> None:
        super()._store(coef.T, intercept, dtype)


@final
class GradientLinearSVRCV(AbstractGradientRegressorCV):
    """Linear support vector regression with `C_` and `epsilon_` tuned; `alpha_` is `1 / C_`.

    `min_w 1/2 ||w||^2 + C sum_i max(0, |y_i - x_i^T w - b| - epsilon)`, where `b` is penalised like a coefficient, as
    in scikit-learn's `LinearSVR`. The criterion has a kink wherever a sample reaches the tube or its cost, and many
    local minima: a coarse path of 49 points shows the valleys, and descents follow, from the lowest valley
    first, until 150 evaluations are spent. For the arguments and attributes see `AbstractGradientCV`.

    Source: Ho, Lin, Large-scale linear support vector regression, JMLR 2012.
    """

    _evaluations = THRESHOLDS.evaluations_of_vectors

    def _family(self) -> AbstractFamily:
        return LinearSVRFamily(self.fit_intercept)

    def _starts(self, evaluations: int) -> int:
        side = min(7, math.isqrt(evaluations // 3))
        return max(side * side, 1)
