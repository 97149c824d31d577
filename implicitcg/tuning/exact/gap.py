"""How well coefficients solve a LASSO, from its data and the coefficients alone."""

from __future__ import annotations

import numpy as np

from ...equations.forms import LassoForm


def relative_gap(form: LassoForm, coef: np.ndarray) -> float:
    """The duality gap of a LASSO at `coef`, relative to its objective at zero, in double precision on the host.

    A correlation exceeds its penalty only by what goes beyond the rounding of the product that it comes from. An
    unpenalised feature adds what moving it alone would gain.
    """
    X, y = np.asarray(form.loss.X, np.float64), np.asarray(form.loss.y, np.float64)
    alpha = np.broadcast_to(np.asarray(form.alpha, np.float64), coef.shape)
    residual = y - X @ coef
    if form.loss.fit_intercept:
        residual, y = residual - residual.mean(), y - y.mean()
    n = len(y)
    g = residual @ X / n
    size = np.sqrt(np.einsum("ij,ij->j", X, X) / n)
    zero = max(float(y @ y) / (2 * n), np.finfo(float).tiny)
    rounding = 4 * np.finfo(float).eps * size * (np.sqrt(2 * zero) + float(size @ np.abs(coef)))
    penalised = alpha > 0
    beyond = np.maximum(np.abs(g) - alpha - rounding, 0)
    ratios = np.divide(alpha, alpha + beyond, out=np.ones_like(alpha), where=penalised)
    tau = float(ratios.min(initial=1.0))
    slack = np.where(penalised, alpha * np.abs(coef) - tau * coef * g, 0).sum()
    free = np.divide(np.square(g), 2 * np.square(size), out=np.zeros_like(g), where=~penalised & (size > 0)).sum()
    return abs(float((1 - tau) ** 2 * (residual @ residual) / (2 * n) + slack + free)) / zero
