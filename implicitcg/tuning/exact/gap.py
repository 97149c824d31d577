"""How well coefficients solve a LASSO, from its data and the coefficients alone."""

from __future__ import annotations

import numpy as np

from ...equations.forms import LassoForm


def gap_on_host(form: LassoForm, coef: np.ndarray) -> float:
    """The duality gap of a LASSO or an elastic net at `coef`, relative to its objective at zero, on the host.

    The residual, scaled so that no correlation exceeds its penalty, is dual feasible; the gap is written without
    cancellation, as in `solvers.lasso.quadratic_loss.relative_gap`. A correlation exceeds its penalty only by what goes
    beyond the rounding of the product that it comes from. An unpenalised feature adds what moving it alone would gain.
    """
    X, y = np.asarray(form.loss.X.entries, np.float64), np.asarray(form.loss.y, np.float64)
    alpha, ridge = (np.asarray(np.broadcast_to(part, coef.shape), np.float64) for part in form.strengths())
    s = np.full(len(y), 1.0) if form.loss.sample_weight is None else np.asarray(form.loss.sample_weight, np.float64)
    s = s / s.sum()
    residual = y - X @ coef
    if form.loss.fit_intercept:
        residual, y = residual - s @ residual, y - s @ y
    g = (s * residual) @ X - ridge * coef
    size = np.sqrt(np.einsum("i,ij,ij->j", s, X, X) + ridge)
    zero = max(float(s @ np.square(y)) / 2, np.finfo(float).tiny)
    value = (float(s @ np.square(residual)) + float(ridge @ np.square(coef))) / 2
    rounding = 4 * np.finfo(float).eps * size * (np.sqrt(2 * zero) + float(size @ np.abs(coef)))
    penalised = alpha > 0
    beyond = np.maximum(np.abs(g) - alpha - rounding, 0)
    tau = float(np.divide(alpha, alpha + beyond, out=np.ones_like(alpha), where=penalised).min(initial=1.0))
    slack = np.where(penalised, alpha * np.abs(coef) - tau * coef * g, 0).sum()
    free = np.divide(np.square(g), 2 * np.square(size), out=np.zeros_like(g), where=~penalised & (size > 0)).sum()
    return abs((1 - tau) ** 2 * value + float(slack + free)) / zero
