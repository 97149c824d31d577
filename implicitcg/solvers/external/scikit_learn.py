"""scikit-learn, by callback."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from ...equations import Composite
from ...penalties import L1, GroupL2, Logistic
from .celer import common, require_positive
from .library import AbstractLibrary, PlainProblem


class ScikitLearn(AbstractLibrary):
    """scikit-learn's coordinate descent (`Lasso`, `ElasticNet`) and liblinear (`LogisticRegression`).

    It solves the LASSO with one positive penalty a feature, the elastic net with one penalty for all, and logistic
    regression without intercept (liblinear would penalise it) and sample weights; dense and sparse.

    Args:
        tolerance: see `AbstractLibrary`; `None` means 1e-7 in float64 and 3e-4 in float32.
        max_steps: iterations.

    Raises:
        TypeError: a problem it does not solve.

    Source: Pedregosa et al., Scikit-learn: machine learning in Python, JMLR 2011.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=100_000)
    module: ClassVar[str] = "sklearn"
    extra: ClassVar[str | None] = "sklearn"

    def lacks(self, problem: Composite) -> str | None:
        if isinstance(problem.penalty, GroupL2):
            return "scikit-learn has no group LASSO"
        if not isinstance(problem.smooth, Logistic):
            return None
        if not isinstance(problem.penalty, L1):
            return "the elastic net of its logistic regression is not exact enough"
        if problem.smooth.fit_intercept or problem.smooth.sample_weight is not None:
            return "its exact logistic regression penalises the intercept, and sample weights are not passed on"
        return None

    def fit(self, plain: PlainProblem, gap: float) -> tuple[np.ndarray, float]:
        import sklearn.linear_model as models

        require_positive(plain.alpha, "scikit-learn")
        options = {"tol": gap, "max_iter": self.max_steps}
        if plain.logistic:
            scaled = plain.per_column(plain.alpha)
            # liblinear stops on its own measure of the gradient; at the smallest it ends at rounding
            model = models.LogisticRegression(
                C=1 / len(plain.y), solver="liblinear", fit_intercept=False, random_state=0, **_l1(), **options
            )
            return model.fit(scaled.X, plain.y).coef_.ravel() / plain.alpha, 0.0
        options["fit_intercept"] = plain.fit_intercept
        if np.any(plain.ridge > 0):
            total = plain.alpha + plain.ridge
            if np.ptp(total) > 1e-12 * total[0]:
                raise ValueError("scikit-learn's elastic net has one alpha for all features; use the default solver.")
            model = models.ElasticNet(alpha=float(total[0]), l1_ratio=common(plain.alpha / total), **options)
            model.fit(plain.X, plain.y)
            return model.coef_, float(model.intercept_)
        model = models.Lasso(alpha=1.0, **options)
        model.fit(plain.per_column(plain.alpha).X, plain.y)
        return model.coef_ / plain.alpha, float(model.intercept_)


def _l1() -> dict[str, Any]:
    """How this release spells an l1 penalty: `penalty="l1"` until 1.7, `l1_ratio=1` from 1.8 on."""
    import sklearn

    release = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
    return {"penalty": "l1"} if release < (1, 8) else {"l1_ratio": 1.0}
