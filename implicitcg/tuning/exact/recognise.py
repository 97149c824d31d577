"""Recognising a LASSO in one strength: what makes the exact path applicable.

A criterion qualifies when every fold is a least-squares loss with an l1 norm whose penalties are `c(theta) v`, with
fixed weights `v` and a strength `c` that is exponential or affine in a scalar `theta`, for all `theta`: that is read
from the program of the model (`equations.one_parameter`). Then the criterion is a known function of `c`, affine
predictions on known pieces, and no solve is needed to evaluate it. An elastic net in both of its strengths is one
where the criterion declares it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from ...equations.forms import LassoForm, lasso_form
from ...equations.one_parameter import Form, read
from ...solvers.lasso.quadratic_loss import gap_tolerance
from ..abandoned import Abandoned
from ..criteria.criterion import AbstractCriterion, DeclaredLasso
from ..criteria.degrees import penalised_by_response
from ..criteria.information import AbstractInformation
from ..criteria.losses import squared
from .fold_path import FoldData, FoldPath
from .gap import gap_on_host
from .strength import Strength, common_strength

PREDICTED = 1e-7  # of the largest target, by which predictions along a path may be off


class Disagrees(Abandoned):
    """The exact search and the criterion differ at the answer."""

    def __init__(self, reason: str):
        super().__init__(f"The exact search found what the criterion denies ({reason}), so it went by solves.")


@dataclass(frozen=True)
class Models:
    """The inner problems of all folds, on rows that are put on the device once."""

    criterion: AbstractCriterion
    rows: list[tuple[Any, Any, Any]]

    @classmethod
    def of(cls, criterion: AbstractCriterion) -> Models:
        """Those of the training rows of a criterion."""
        X, y = np.asarray(criterion.X), np.asarray(criterion.y)

        def put(rows: np.ndarray) -> tuple[Any, Any, Any]:
            if np.issubdtype(rows.dtype, np.floating):
                return criterion.X, criterion.y, jax.device_put(rows)
            return *jax.device_put((X[rows], y[rows])), None

        return cls(criterion, [put(fold.train) for fold in criterion.folds])

    def read(self, theta: Any, rebuild: Callable[[Any], Any]) -> list[LassoForm] | None:
        """The forms of all folds for all `theta`, where every fold is a LASSO or an elastic net on fixed data."""
        forms = []
        for X, y, weights in self.rows:

            def model(t: Any, X: Any = X, y: Any = y, weights: Any = weights) -> Any:
                return self.criterion.problem(X, y, rebuild(t), weights)

            form = lasso_form(read(model, theta))
            if form is None or not _fixed(form):
                return None
            forms.append(form)
        return forms

    def verify(self, theta: Any, coefs: Sequence[np.ndarray]) -> None:
        """Evaluate the model itself at the answer `theta`, and see whether `coefs` solve it.

        Reading has proven the form of the problems; this is the second opinion, on numbers: the duality gap of every
        fold's coefficients in the problem that the model makes there.

        Raises:
            Disagrees: they do not.
        """
        for k, (rows, coef) in enumerate(zip(self.rows, coefs, strict=True)):
            form = lasso_form(self.criterion.concrete(k, rows, theta))
            if form is None:
                raise Disagrees(f"the model of fold {k} is no LASSO there")
            gap = gap_on_host(form, np.pad(coef, (0, form.loss.dimension()[0] - len(coef))))  # columns that fill up
            if not gap <= gap_tolerance(None, form.loss.X.dtype):
                raise Disagrees(f"the solution of fold {k} has a relative duality gap of {gap:.2g} there")


class OneStrength(NamedTuple):
    """A criterion that is known along one strength: the map from `theta`, and what every fold's path is made of."""

    strength: Strength
    folds: list[FoldData]
    models: Models

    def verify(self, place: float, theta: Any, paths: Sequence[FoldPath]) -> None:
        """Compare the answer `theta`, whose coordinate is `place`, with what the model makes there.

        Raises:
            Disagrees: another problem than the paths solve, or other predictions than their coefficients make.
        """
        c = float(self.strength.at(place))
        coefs = [path.coefficients(c) for path in paths]
        self.models.verify(theta, coefs)
        for k, (path, coef) in enumerate(zip(paths, coefs, strict=True)):
            anew = path.X @ coef + path.path.y_mean
            off = min(float(np.abs(path.at(np.array([c]), below)[0][0] - anew).max()) for below in (True, False))
            if not off <= PREDICTED * max(float(np.abs(path.target).max()), float(np.abs(anew).max())):
                raise Disagrees(f"the predictions of fold {k} are off by {off:.2g} there")


def recognise(criterion: AbstractCriterion, theta: Any, rebuild: Callable[[Any], Any]) -> OneStrength | None:
    """The strength and the folds, or `None` where the criterion is not a LASSO in one strength.

    `rebuild` turns a number, which may be traced, into a hyperparameter of the user's structure and dtype.
    """
    if not _on_dense_rows(criterion):
        return None
    models = Models.of(criterion)
    if criterion.declared is not None:
        folds = None if criterion.declared.elastic_net else _declared_folds(criterion, criterion.declared)
        known = folds is not None and all(fold.known() for fold in folds)
        return OneStrength(Strength(True, 0.0, 1.0), folds, models) if folds is not None and known else None
    forms = models.read(theta, rebuild)
    if forms is None or any(form.ridge is not None for form in forms):
        return None
    if isinstance(criterion, AbstractInformation):
        hyper = rebuild(theta)
        if any(form.loss.sample_weight is not None for form in forms) or penalised_by_response(
            lambda y: criterion.problem(criterion.X, y, hyper), criterion.y
        ):
            return None  # its degrees of freedom are not the number of features
    found = common_strength([form.alpha for form in forms], [form.loss.dimension() for form in forms], float(theta))
    if found is None:
        return None
    strength, penalties = found
    folds = [_data(criterion, k, form, v) for k, (form, v) in enumerate(zip(forms, penalties, strict=True))]
    return OneStrength(strength, folds, models) if all(fold.known() for fold in folds) else None


def elastic_net_folds(criterion: AbstractCriterion) -> tuple[list[FoldData], Models] | None:
    """The folds of a criterion that declares to be an elastic net, for a squared loss; else `None`."""
    if criterion.declared is None or not criterion.declared.elastic_net or criterion.loss is not squared:
        return None
    if not _on_dense_rows(criterion):
        return None
    return _declared_folds(criterion, criterion.declared), Models.of(criterion)


def _declared_folds(criterion: AbstractCriterion, declared: DeclaredLasso) -> list[FoldData]:
    X, y = np.asarray(criterion.X), np.asarray(criterion.y)
    equal = np.ones(X.shape[1])
    squares = criterion.loss is squared
    return [
        FoldData(X, y, fold.train, declared.fit_intercept, equal, X, y, fold.test, squares) for fold in criterion.folds
    ]


def _on_dense_rows(criterion: AbstractCriterion) -> bool:
    dense = isinstance(criterion.X, jax.Array) and criterion.y.ndim == 1
    return criterion.of_predictions and dense and criterion.solver is None


def _fixed(form: LassoForm) -> bool:
    """Whether the data are arrays, and do not depend on `theta`."""
    return form.dense and not any(isinstance(leaf, Form) for leaf in jax.tree.leaves(form.loss))


def _data(criterion: AbstractCriterion, k: int, form: LassoForm, penalties: np.ndarray) -> FoldData:
    loss, weights, rows = form.loss, form.loss.sample_weight, criterion.folds[k].test
    X, y, shares = np.asarray(criterion.X), np.asarray(criterion.y), None
    if np.issubdtype(rows.dtype, np.floating):
        shares = rows
    else:
        X, y = X[rows], y[rows]
    return FoldData(
        np.asarray(loss.X.entries),
        np.asarray(loss.y),
        None if weights is None else np.asarray(weights, np.float64),
        loss.fit_intercept,
        penalties,
        X,
        y,
        shares,
        criterion.loss is squared,
    )
