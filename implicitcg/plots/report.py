"""One page about a tuned LASSO: the curve, its best point from near, the kinks of every fold, the coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .contract import AbstractFound
from .path import kinks, path
from .style import CHOSEN, TEXT, matplotlib
from .tuning import Marks, curve_of, tuning, zoom


def report(
    result: AbstractFound,
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
    figure = Figure(figsize=(10.5, 7.8), dpi=150, layout="constrained")
    sides: Any = figure.subfigures(1, 2, width_ratios=(2.2, 1))
    left, right = sides
    curve, ticks, lines = left.subplots(3, height_ratios=(3, 0.25 + 0.14 * len(rows), 2.5), sharex=True)
    near, names_of_lines = right.subplots(2, height_ratios=(1.45, 1))
    tuning(result, ax=curve, criterion=criterion, marks=marks, ticks=False)
    zoom(result, ax=near, marks=marks)
    kinks(rows, ax=ticks, chosen=best)
    path(alphas, coefs, names=names, chosen=best, ax=lines, legend=False)
    curve.axvline(best, color=CHOSEN, lw=1.1, zorder=0.5)
    low, high = np.exp([np.min(curve_of(result).theta), np.max(curve_of(result).theta)])
    curve.set_xlim(low, 1.06 * high)
    for ax in (curve, ticks):
        ax.set_xlabel("")
    names_of_lines.axis("off")
    legend = names_of_lines.legend(
        *lines.get_legend_handles_labels(),
        title="largest coefficients",
        title_fontproperties={"size": 10},
        alignment="left",
        frameon=False,
        fontsize=9,
        labelcolor=TEXT,
        loc="upper left",
        borderaxespad=0,
    )
    legend.get_title().set_color(TEXT)
    for ax, text in (
        (curve, title),
        (near, "around the best point"),
        (ticks, "kinks of the paths"),
        (lines, "coefficients on all rows"),
    ):
        ax.set_title(text, loc="left", fontsize=10, color=TEXT)
    return figure
