"""Recognising a LASSO in one strength: what makes the exact path applicable.

A criterion qualifies when every fold is a least-squares loss with an l1 norm whose penalties are `c(theta) v`, with
fixed weights `v` and a strength `c` that is exponential or affine in a scalar `theta`, for all `theta`: that is read
from the program of the model (`equations.one_parameter`). Then the criterion is a known function of `c`, affine
predictions on known pieces, and no solve is needed to evaluate it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...equations.forms import LassoForm, lasso_form
from ...equations.one_parameter import read
from ...solvers.lasso.quadratic_loss import gap_tolerance
from ..criteria.criteria import CrossValidation, HoldOut
from ..criteria.degrees import Exact, penalised_by_response
from ..criteria.information import AbstractInformation, LeaveOneOut
from .fold_path import FoldPath
from .gap import relative_gap
from .path import LassoPath
from .strength import Strength, common_strength

PREDICTED = 1e-7  # of the largest target, by which predictions along a path may be off


class Disagrees(Exception):
    """The exact search and the criterion differ at the answer; the text says in what."""


@dataclass(frozen=True)
class OneStrength:
    """A criterion that is known along one strength: the map from `theta`, and the path of every fold.

    `forms` makes the problems of all folds at a value of the user's hyperparameter.
    """

    strength: Strength
    paths: list[FoldPath]
    forms: Callable[[Any], list[LassoForm | None]]

    def verify(self, place: float, theta: Any) -> None:
        """Evaluate the model itself at the answer `theta`, whose coordinate is `place`, and compare.

        Reading has proven the form of the problems; this is the second opinion, on numbers: the path's coefficients
        must solve what the model makes there, by their duality gap, and predict what the path says.

        Raises:
            Disagrees: they do not.
        """
        c = float(self.strength.at(place))
        for k, (form, path) in enumerate(zip(self.forms(theta), self.paths, strict=False)):
            if form is None:
                raise Disagrees(f"the model of fold {k} is no LASSO there")
            coef = path.coefficients(c)
            gap = relative_gap(form, coef)
            if not gap <= gap_tolerance(None, form.loss.X.dtype):
                raise Disagrees(f"the solution of fold {k} has a relative duality gap of {gap:.2g} there")
            anew = path.X @ coef + path.path.y_mean
            off = [float(np.abs(path.at(np.array([c]), below)[0][0] - anew).max()) for below in (True, False)]
            if not min(off) <= PREDICTED * max(float(np.abs(path.target).max()), float(np.abs(anew).max())):
                raise Disagrees(f"the predictions of fold {k} are off by {min(off):.2g} there")


def recognise(criterion: Any, theta: Any, rebuild: Callable[[Any], Any]) -> OneStrength | None:
    """The strength and the paths of every fold, or `None` where the criterion is not a LASSO in one strength.

    `rebuild` turns a number, which may be traced, into a hyperparameter of the user's structure and dtype.
    """
    if not isinstance(criterion, HoldOut | CrossValidation | AbstractInformation) or isinstance(criterion, LeaveOneOut):
        return None
    if not isinstance(criterion.X, jax.Array) or criterion.y.ndim != 1 or criterion.solver is not None:
        return None
    if isinstance(criterion, AbstractInformation) and not isinstance(criterion.degrees, Exact):
        return None
    X, y = np.asarray(criterion.X), np.asarray(criterion.y)
    rows = [jax.device_put((X[fold.train], y[fold.train])) for fold in criterion.folds]

    def model(part: tuple[Any, Any]) -> Callable[[Any], Any]:
        X, y = part
        return lambda t: criterion.problem(X, y, rebuild(t))

    forms = [_read(model(part), theta) for part in rows]
    if any(form is None for form in forms):
        return None
    if isinstance(criterion, AbstractInformation):
        hyper = rebuild(theta)
        if penalised_by_response(lambda y: criterion.problem(criterion.X, y, hyper), criterion.y):
            return None  # its degrees of freedom are not the number of features
    known = [form for form in forms if form is not None]
    found = common_strength([form.alpha for form in known], [form.loss.dimension() for form in known], float(theta))
    if found is None:
        return None
    strength, weights = found
    paths = []
    for form, v, fold in zip(known, weights, criterion.folds, strict=True):
        path = LassoPath(np.asarray(form.loss.X.entries), np.asarray(form.loss.y), v, form.loss.fit_intercept)
        paths.append(FoldPath(path, X[fold.test], y[fold.test]))
    return OneStrength(strength, paths, lambda theta: [lasso_form(criterion.problem(X, y, theta)) for X, y in rows])


def _read(model: Callable[[Any], Any], theta: Any) -> LassoForm | None:
    """A LASSO on dense data that do not depend on `theta`, its penalty as the form that it has for all `theta`."""
    form = lasso_form(read(model, theta))
    if form is None or form.ridge is not None or form.loss.sample_weight is not None:
        return None
    fixed = form.dense and isinstance(form.loss.X.entries, jax.Array) and isinstance(form.loss.y, jax.Array)
    return form if fixed else None
