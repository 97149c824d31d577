"""One page about a tuned LASSO: the curve, its best point from near, the kinks of every fold, the coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..tuning import TuneResult
from .path import kinks, path
from .style import CHOSEN, TEXT, matplotlib
from .tuning import Marks, tuning, zoom


def report(
    result: TuneResult,
    rows: Mapping[str, ArrayLike],
    alphas: ArrayLike,
    coefs: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    criterion: str = "cross-validation error",
    title: str = "",
    marks: Marks | None = None,
) -> Any:
    """Draw a search over `log(alpha)` on one page.

    Args:
        result: what `icg.tune` returned for `theta = log(alpha)`.
        rows: the kinks of each path, `{label: penalties}`, as for `kinks`.
        alphas: penalties of the path on all rows `(m,)`.
        coefs: its coefficients `(m, p)`.
        names: of the features.
        criterion: the name of what was minimised.
        title: of the page.
        marks: other choices to compare with, `{label: (alpha, criterion)}`.

    Returns:
        A Matplotlib `Figure`, which belongs to no window: `figure.savefig("page.png")`.
    """
    matplotlib()
    from matplotlib.figure import Figure

    best = float(np.exp(np.asarray(result.theta, float)))
    figure = Figure(figsize=(10.5, 8), dpi=150, layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(2.35, 1), height_ratios=(3, 0.22 + 0.13 * len(rows), 2.5))
    curve = figure.add_subplot(grid[0, 0])
    near = figure.add_subplot(grid[0, 1])
    ticks = figure.add_subplot(grid[1, 0], sharex=curve)
    lines = figure.add_subplot(grid[2, 0], sharex=curve)
    tuning(result, ax=curve, criterion=criterion, marks=marks, ticks=False)
    zoom(result, ax=near, marks=marks)
    path(alphas, coefs, names=names, chosen=best, ax=lines)
    kinks(rows, ax=ticks, chosen=best)
    curve.axvline(best, color=CHOSEN, lw=1.1, zorder=0.5)
    low, high = np.exp([np.min(result.curve.theta), np.max(result.curve.theta)])
    curve.set_xlim(low, high)
    for ax in (curve, ticks):
        ax.set_xlabel("")
        ax.tick_params(axis="x", labelbottom=False)
    for ax, text in (
        (curve, title),
        (near, "at the best point"),
        (ticks, "kinks of the paths"),
        (lines, "coefficients on all rows (standardised features)"),
    ):
        ax.set_title(text, loc="left", fontsize=10, color=TEXT)
    curve.indicate_inset_zoom(near, edgecolor=TEXT, alpha=0.35, lw=0.8)
    return figure
