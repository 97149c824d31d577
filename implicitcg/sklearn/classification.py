"""Classifiers."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from .estimator import AbstractGradientCV
from .families import AbstractFamily, SparseLogisticFamily


@final
class GradientSparseLogisticCV(ClassifierMixin, AbstractGradientCV):
    """Logistic regression with an l1 penalty and two classes, its penalty of least cross-validated loss.

    `min_w 1/n sum_i log(1 + exp(-y_i (x_i^T w + b))) + alpha ||w||_1`, scikit-learn's with `C = 1 / (n alpha)`.
    `classes_` holds the labels, `coef_` is `(1, p)`. For the arguments and the other attributes see
    `AbstractGradientCV`; for more than two classes wrap it in `OneVsRestClassifier`.

    Source: Koh, Kim, Boyd, An interior-point method for large-scale l1-regularized logistic regression, JMLR 2007.
    """

    _classifier = True
    _filler = 1.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _family(self) -> AbstractFamily:
        return SparseLogisticFamily(self.fit_intercept)

    def _default_scoring(self) -> str:
        return "logistic"

    def _responses(self, y: Any) -> np.ndarray:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}. For more classes wrap the "
                "estimator: OneVsRestClassifier(GradientSparseLogisticCV())."
            )
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only, {self.classes_[0]!r}: there is nothing to tell apart. Classifier can't train "
                "when only one class is present."
            )
        return 2.0 * codes - 1.0

    def _store(self, coef: np.ndarray, intercept: np.ndarray, dtype: Any) -> None:
        self.coef_, self.intercept_ = coef[None].astype(dtype), intercept[None].astype(dtype)

    def decision_function(self, X: Any) -> np.ndarray:
        """`X coef + intercept` for rows `X (n, p)`: positive for `classes_[1]`."""
        return self._linear(X)[:, 0]

    def predict(self, X: Any) -> np.ndarray:
        """The likelier class of rows `X (n, p)`."""
        check_is_fitted(self)
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities `(n, 2)` of the classes, in the order of `classes_`."""
        score = self.decision_function(X)
        return np.stack([expit(-score), expit(score)], axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms."""
        score = self.decision_function(X)
        return np.stack([-np.logaddexp(0, score), -np.logaddexp(0, -score)], axis=1)
