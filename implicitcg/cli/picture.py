"""The picture of `implicitcg tune --plot`, as bytes in the format of the file name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import plots
from ..plots.style import matplotlib
from ..tuning.exact.path import Knot, LassoPath, PathBroken
from .fit import Fit, Split
from .mistakes import Mistake
from .peer import Peer

MOST_ROWS = 12  # folds whose kinks are drawn
MOST_BARS = 20  # coefficients drawn as bars


def _format(name: str) -> str:
    """The format that the ending of a file name asks for."""
    return Path(name).suffix.lower().lstrip(".")


def check_picture(name: str) -> None:
    """Raise a `Mistake` where a picture could not be drawn: Matplotlib missing, or no known format."""
    try:
        matplotlib()
    except ImportError as error:
        raise Mistake(f"--plot: {error}") from None
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if _format(name) not in known:
        endings = ", ".join(f".{end}" for end in sorted(known))
        raise Mistake(f"--plot {name}: the ending must name a picture format, one of {endings}.")


def lasso_path(X: NDArray, y: NDArray, lowest: float) -> list[Knot]:
    """The LASSO path down to the penalty `lowest`, which is its last entry and need not be a kink."""
    weights = np.ones(X.shape[1])
    try:
        return LassoPath(X, y, weights, True).advance(lowest)
    except PathBroken as broken:  # nearly dependent columns: draw the part above
        return LassoPath(X, y, weights, True).advance(broken.c * (1 + 1e-6))


def kink_penalties(path: list[Knot]) -> NDArray:
    """The penalties at which a path has a kink."""
    return np.array([knot.c for knot in path if knot.kink])


def draw(
    name: str,
    title: str,
    terms: tuple[str, ...],
    X: NDArray,
    y: NDArray,
    splits: list[Split],
    fit: Fit,
    peer: Peer | None,
) -> bytes:
    """The page `icg.plots.report` for a tuned LASSO."""
    assert fit.search.curve is not None
    lowest = float(np.exp(np.min(fit.search.curve.theta)))
    rows = {
        f"fold {i + 1}": kink_penalties(lasso_path(X[train], y[train], lowest))
        for i, (train, _) in enumerate(splits[:MOST_ROWS])
    }
    path = lasso_path(X, y, lowest)
    rows["all rows"] = kink_penalties(path)
    alphas, coefs = np.array([knot.c for knot in path]), np.array([knot.coef for knot in path])
    marks = {} if peer is None else {"LassoCV": (peer.alpha, peer.error)}
    figure = plots.report(fit.search, rows, alphas, coefs, names=terms, criterion="CV error", title=title, marks=marks)
    return _encoded(figure, name)


def draw_search(name: str, title: str, terms: tuple[str, ...], targets: tuple[str, ...], fit: Fit) -> bytes:
    """The search of any other model beside its largest coefficients, by target where there are several."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    search, bars = figure.subplots(1, 2, width_ratios=(1.4, 1))
    if fit.search.curve is None:
        plots.trajectory(fit.search, ax=search, name="CV error")
    else:
        plots.tuning(fit.search, ax=search, criterion="CV error")
    chosen = fit.support[:MOST_BARS][::-1]
    coefs = fit.coef[None] if fit.tasks is None else fit.tasks.coefs
    height = 0.8 / len(coefs)
    for task, values in enumerate(coefs):
        place = np.arange(len(chosen)) + (task - (len(coefs) - 1) / 2) * height
        bars.barh(place, values[chosen], height, label=targets[task])
    if len(coefs) > 1:
        bars.legend(frameon=False, fontsize=8, title="target", title_fontsize=8)
    bars.set_yticks(np.arange(len(chosen)), [terms[j] for j in chosen], fontsize=8)
    bars.axvline(0, color="#8A8F98", lw=0.6)
    bars.set_xlabel("coefficient" if len(fit.support) <= MOST_BARS else f"the {MOST_BARS} largest coefficients")
    figure.suptitle(title, fontsize=10)
    return _encoded(figure, name)


def _encoded(figure: Any, name: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=_format(name))
    return buffer.getvalue()
