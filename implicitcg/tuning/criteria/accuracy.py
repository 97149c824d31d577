r"""What inexact inner solves leave open: proven bounds for criteria of a LASSO or an elastic net, from the duality gap.

With `Z = S^{1/2} C X` (`S` the weights of the samples, `C` the centring) the inner problem is
`P(w) = 1/2 ||t - Z w||^2 + 1/2 sum_j rho_j w_j^2 + sum_j alpha_j |w_j|`. A dual feasible point gives a gap `G >= P(w) -
P(w*)`, and then, with `r = sqrt(2 G)`:

- features with `|z_j^T theta| + ||z_j|| r < alpha_j` at the dual point `theta` are zero in `w*` (gap safe screening).
- let `A` hold the others and `H = Z_A^T Z_A + diag(rho_A)`. `P` is strongly convex along them:
  `||w - w*||_H <= r`, so a prediction `x^T w` is off by at most `r sqrt(x_A^T H^{-1} x_A)`.
- where also `|w_j| > r sqrt((H^{-1})_jj)` on all of `A`, the signs of `w*` are known, and with `g = Z^T (t - Z w) -
  rho w` so is `w* = w + H^{-1}(g_A - alpha_A sign(w_A))` to rounding, and with it the error of the hypergradient. On a
  kink they are not, and the hypergradient, which jumps there, has no bound.

Predictions off by `d` change a squared loss with residuals `e` by at most `mean(2 |e| d + d^2)`, and the other named
losses, whose slope is at most one, by `mean(d)`.

Source: Ndiaye, Fercoq, Gramfort, Salmon, Gap safe screening rules for sparsity enforcing penalties, JMLR 2017.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree

from ...equations import Composite
from ...equations.forms import lasso_form
from ..result import Accuracy
from .criterion import AbstractCriterion
from .held_out import CrossValidation, HoldOut
from .losses import is_convex, squared

_EPS = float(np.finfo(np.float64).eps)


class NotProven(Exception):
    """There is no bound; the text says why."""


def proven(criterion: Any, theta: Any) -> tuple[float, Accuracy]:
    """The criterion at `theta`, by its own solver, and a bound for what exact solutions would change.

    Raises:
        NotProven: the criterion is not made of a LASSO or an elastic net on dense data, or a fold's solution is not
            close enough to be pinned down.
    """
    if not isinstance(criterion, HoldOut | CrossValidation):
        raise NotProven("bounds are for hold-out and cross-validation")
    if not is_convex(criterion.loss):
        raise NotProven("the slope of a loss of one's own is not known")
    if not isinstance(criterion.X, jax.Array) or criterion.y.ndim != 1:
        raise NotProven("bounds are for dense data and one response")
    if any(np.issubdtype(fold.test.dtype, np.floating) for fold in criterion.folds):
        raise NotProven("bounds are for folds of rows without weights")
    solve = jax.jit(lambda rows, theta: criterion.fold_loss((criterion.X, criterion.y), rows, theta, None, throw=True))
    values, bounds, slopes = [], [], []
    for fold in criterion.folds:
        value, solution = solve((jnp.asarray(fold.train), jnp.asarray(fold.test)), theta)
        bound, slope = _fold(criterion, fold, theta, np.asarray(solution.root, np.float64))
        values.append(float(value))
        bounds.append(bound)
        slopes.append(slope)
    known = all(slope is not None for slope in slopes)
    gradient = float(np.linalg.norm(np.mean(slopes, axis=0))) if known else float("nan")
    reason = "proven by the duality gaps" + ("" if known else "; some solution may be on another piece")
    return float(np.mean(values)), Accuracy(float(np.mean(bounds)), gradient, True, reason)


def _fold(criterion: AbstractCriterion, fold: Any, theta: Any, w: np.ndarray) -> tuple[float, np.ndarray | None]:
    """The bound of one fold's loss, and the error of its hypergradient where that is known."""
    X, y = jnp.asarray(criterion.X)[fold.train], criterion.y[fold.train]
    problem = criterion.checked_problem(X, y, theta)
    form = lasso_form(problem)
    if form is None or not form.dense or not isinstance(problem, Composite):
        raise NotProven("bounds are for the LASSO and the elastic net")
    smooth, (alpha, ridge) = form.loss, map(np.asarray, form.by_feature())
    if not (alpha > 0).all():
        raise NotProven("a coefficient without penalty has no dual feasible point")
    rows, target = np.asarray(smooth.X, np.float64), np.asarray(smooth.y, np.float64)
    weights = smooth.weights()
    s = np.full(len(target), 1 / len(target)) if weights is None else np.asarray(weights, np.float64)
    centre, level = (s @ rows, s @ target) if smooth.fit_intercept else (np.zeros(rows.shape[1]), 0.0)
    Z, t = np.sqrt(s)[:, None] * (rows - centre), np.sqrt(s) * (target - level)
    residual = t - Z @ w
    g = Z.T @ residual - ridge * w
    tau = min(1.0, float(np.min(alpha / np.maximum(np.abs(g), np.finfo(float).tiny))))
    gap = (1 - tau) ** 2 / 2 * (residual @ residual + ridge @ w**2) + np.sum(alpha * np.abs(w) - tau * w * g)
    radius = float(np.sqrt(2 * (abs(gap) + 16 * _EPS * (t @ t + alpha @ np.abs(w)))))
    norms = np.sqrt(np.sum(Z**2, axis=0) + ridge)
    A = np.flatnonzero((tau * np.abs(g) + norms * radius >= alpha) | (w != 0))
    H = Z[:, A].T @ Z[:, A] + np.diag(ridge[A])
    spectrum = np.linalg.eigvalsh(H) if len(A) else np.ones(1)
    if len(A) > len(t) + np.count_nonzero(ridge) or spectrum[0] <= 1e3 * len(A) * _EPS * spectrum[-1]:
        raise NotProven("the features that may be active are linearly dependent, or the gap is too large to tell them")
    V = np.asarray(criterion.X, np.float64)[fold.test][:, A] - centre[A]
    judged = np.asarray(criterion.y, np.float64)[fold.test]
    error = V @ w[A] + level - judged
    inverse = scipy.linalg.inv(H) if len(A) else np.empty((0, 0))
    known = (np.abs(w[A]) > radius * np.sqrt(np.diag(inverse))).all()
    if not known:
        away = radius * np.sqrt(np.maximum(np.sum((V @ inverse) * V, axis=1), 0.0))
        return _moved(criterion.loss, error, away, judged), None
    signs = np.sign(w[A])
    step = inverse @ (g[A] - alpha[A] * signs)
    condition = float(spectrum[-1] / spectrum[0])
    away = np.abs(V @ step) + 16 * _EPS * condition * (np.abs(V) @ np.abs(w[A]))
    bound = _moved(criterion.loss, error, away, judged)
    here = np.abs(w + np.asarray(problem.step()) * g) > np.asarray(problem.step()) * alpha
    if criterion.loss is not squared or not np.array_equal(np.flatnonzero(here), A):
        return bound, None
    adjoints = [inverse @ (2 * V.T @ e / len(error)) for e in (error, error + V @ step)]
    by_alpha, by_ridge = np.zeros_like(w), np.zeros_like(w)
    by_alpha[A] = -(adjoints[1] - adjoints[0]) * signs
    by_ridge[A] = -(adjoints[1] * (w[A] + step) - adjoints[0] * w[A])
    _, back = jax.vjp(lambda theta: _penalties(criterion.problem(X, y, theta)), theta)
    dtype = smooth.X.dtype
    moved = back((jnp.asarray(by_alpha, dtype), jnp.asarray(by_ridge, dtype)))[0]
    return bound, np.asarray(ravel_pytree(moved)[0], np.float64)


def _penalties(problem: object) -> tuple[Any, Any]:
    form = lasso_form(problem)
    assert form is not None
    return form.by_feature()


def _moved(loss: Any, error: np.ndarray, away: np.ndarray, target: np.ndarray) -> float:
    """By how much the loss can change where predictions move by at most `away`."""
    if loss is squared:
        return float(np.mean(2 * np.abs(error) * away + away**2))
    return float(np.mean(np.maximum(np.abs(target), 1) * away))
