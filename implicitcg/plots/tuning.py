"""The criterion along one hyperparameter: its curve, its kinks, and the slopes on both sides of the best point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .contract import AbstractCurve, AbstractFound
from .style import CHOSEN, CURVE, KINK, PEER, TEXT, axes, quiet

Marks = Mapping[str, tuple[float, float]]
Transform = Callable[[ArrayLike], Any]


def tuning(
    result: AbstractFound,
    *,
    ax: Any = None,
    transform: Transform = np.exp,
    name: str = "alpha",
    criterion: str = "criterion",
    marks: Marks | None = None,
    ticks: bool = True,
) -> Any:
    """Draw a search over one hyperparameter: the criterion, its standard error, the kinks and the best point.

    Args:
        result: what `icg.tune` returned for one hyperparameter `theta`.
        ax: Matplotlib axes; new ones by default. Its horizontal axis becomes logarithmic when `transform` is `np.exp`.
        transform: from `theta` to the number on the horizontal axis.
        name: of that number.
        criterion: of the vertical axis.
        marks: other choices to compare with, `{label: (position, criterion)}`.
        ticks: whether the kinks are marked above the horizontal axis.

    Returns:
        The axes.

    Raises:
        ValueError: the search was over more than one hyperparameter, so it has no curve.
        ImportError: Matplotlib is missing.

    Example:
        >>> from implicitcg.plots import tuning  # doctest: +SKIP
        >>> tuning(icg.tune(criterion, jnp.log(0.1)), criterion="CV error")  # doctest: +SKIP
    """
    curve = curve_of(result)
    ax = axes(ax)
    theta, value, error = refined(curve)
    position = transform(theta)
    if np.isfinite(error).any():
        ax.fill_between(position, value - error, value + error, color=CURVE, alpha=0.12, lw=0, label="± standard error")
    ax.plot(position, value, color=CURVE, lw=1.8, label=criterion)
    if ticks and result.knots is not None:
        inside = result.knots[(result.knots >= theta[0]) & (result.knots <= theta[-1])]
        ax.plot(
            transform(inside),
            np.full(len(inside), 0.012),
            "|",
            transform=ax.get_xaxis_transform(),
            color=KINK,
            ms=6,
            mew=0.7,
        )
    _marks(ax, result, transform, marks, name)
    if transform is np.exp:
        ax.set_xscale("log")
    ax.set_xlim(position[0], position[-1])
    ax.set_xlabel(name)
    ax.set_ylabel(criterion)
    ax.legend(frameon=False, fontsize=8.5, labelcolor=TEXT, loc="best")
    quiet(ax)
    return ax


def zoom(
    result: AbstractFound,
    *,
    ax: Any = None,
    transform: Transform = np.exp,
    name: str = "alpha",
    marks: Marks | None = None,
    width: float | None = None,
) -> Any:
    """Draw the neighbourhood of the best point: the kinks beside it as dotted lines, the one-sided slopes as rays.

    Args:
        result: what `icg.tune` returned for one hyperparameter `theta`.
        ax: Matplotlib axes; new ones by default.
        transform: from `theta` to the number on the horizontal axis.
        name: of that number.
        marks: other choices to compare with, `{label: (position, criterion)}`.
        width: half the range of `theta` that is shown; by default a few kinks on both sides.

    Returns:
        The axes.
    """
    curve = curve_of(result)
    ax = axes(ax)
    best = _place(result)
    knots = np.asarray([] if result.knots is None else result.knots, float)
    half = _half_width(best, knots, curve) if width is None else width
    low, high = max(best - half, curve.theta[0]), min(best + half, curve.theta[-1])
    theta, value, _ = refined(curve, np.linspace(low, high, 400))
    for knot in knots[(knots > low) & (knots < high)]:
        ax.axvline(transform(knot), color=KINK, lw=0.7, ls=(0, (1.5, 2)), zorder=0)
    ax.plot(transform(theta), value, color=CURVE, lw=1.8)
    top = max(value.max() - result.value, 1e-12 * abs(result.value), np.finfo(float).tiny)
    if result.one_sided_slopes is not None:
        for slope, end, side in zip(result.one_sided_slopes, (low, high), ("left", "right"), strict=True):
            ray = np.linspace(best, end, 50)
            ax.plot(transform(ray), result.value + slope * (ray - best), color=CHOSEN, lw=1.4, ls=(0, (5, 2)), zorder=3)
            ax.annotate(
                f"slope {_signed(slope)}",
                (0.03 if side == "left" else 0.97, 0.05),
                xycoords="axes fraction",
                ha=side,
                va="bottom",
                fontsize=8.5,
                color=CHOSEN,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8},
                zorder=4,
            )
    _marks(ax, result, transform, marks, name)
    ax.set_xlim(transform(low), transform(high))
    ax.set_ylim(result.value - 0.45 * top, result.value + 1.1 * top)
    if transform is np.exp:
        ax.set_xscale("log")
        from matplotlib.ticker import MaxNLocator, NullLocator

        ax.xaxis.set_major_locator(MaxNLocator(4))  # so near, a logarithmic axis is as good as linear
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set_xlabel(name)
    quiet(ax)
    return ax


def refined(curve: AbstractCurve, theta: ArrayLike | None = None) -> tuple[NDArray, NDArray, NDArray]:
    """The curve and its standard error at many points `theta`.

    Between two points it is the parabola through both with the slope of the first, which follows a least-squares
    criterion along a LASSO path to third order in the gap between kinks.
    """
    points, value = np.asarray(curve.theta, float), np.asarray(curve.value, float)
    if theta is None:
        theta = np.unique(np.concatenate([points, np.linspace(points[0], points[-1], 1000)]))
    theta = np.asarray(theta, float)
    error = np.interp(theta, points, np.asarray(curve.standard_error, float))
    if len(points) == 1:
        return theta, np.full(len(theta), value[0]), error
    left = np.clip(np.searchsorted(points, theta, side="right") - 1, 0, len(points) - 2)
    gap = points[left + 1] - points[left]
    rise = value[left + 1] - value[left]
    slope = np.asarray(curve.slope, float)[left]
    slope = np.where(np.isfinite(slope), slope, rise / gap)
    step = theta - points[left]
    return theta, value[left] + slope * step + (rise - slope * gap) * (step / gap) ** 2, error


def curve_of(result: AbstractFound) -> AbstractCurve:
    """The curve of a search over one hyperparameter; a `ValueError` when it was over several."""
    if result.curve is None:
        raise ValueError(
            "This search was over several hyperparameters, and only a search over one has a curve to draw. Draw "
            "`icg.plots.trajectory(result)` instead."
        )
    return result.curve


def _place(result: AbstractFound) -> float:
    """The best point in the coordinates of the search."""
    return float(np.asarray(result.theta)) if result.place is None else float(result.place[0])


def trajectory(result: AbstractFound, *, ax: Any = None, name: str = "criterion") -> Any:
    """Draw how a search over several hyperparameters went: the best value against the solves spent.

    Args:
        result: what `icg.tune` returned.
        ax: Matplotlib axes; new ones by default.
        name: of the vertical axis.

    Returns:
        The axes.
    """
    ax = axes(ax)
    solves = np.array([step.solves for step in result.history])
    best = np.minimum.accumulate(np.array([step.value for step in result.history]))
    ax.step(solves, best, where="post", color=CURVE, lw=1.8)
    ax.plot(solves[-1:], best[-1:], "o", color=CHOSEN, ms=7, mec="white", mew=0.9, label=result.status.name)
    ax.set_xlabel("inner solves")
    ax.set_ylabel(name)
    ax.legend(frameon=False, fontsize=8.5, labelcolor=TEXT)
    quiet(ax)
    return ax


def _half_width(best: float, knots: NDArray, curve: AbstractCurve) -> float:
    """Far enough to see about six other kinks, within 0.2 and 15 per cent of the range."""
    span = float(curve.theta[-1] - curve.theta[0])
    distance = np.sort(np.abs(knots - best))
    distance = distance[distance > 1e-9 * span]
    wanted = 1.15 * float(distance[min(5, len(distance) - 1)]) if len(distance) else 0.05 * span
    return float(np.clip(wanted, 0.002 * span, 0.15 * span))


def _marks(ax: Any, result: AbstractFound, transform: Transform, marks: Marks | None, name: str) -> None:
    for (label, (x, y)), marker in zip((marks or {}).items(), "Ds^vp" * 9, strict=False):
        ax.plot([x], [y], marker, mfc="none", mec=PEER, mew=1.6, ms=11, ls="none", label=label, zorder=5)
    best = transform(_place(result))
    ax.plot(
        [best],
        [result.value],
        "o",
        color=CHOSEN,
        ms=7,
        mec="white",
        mew=0.9,
        ls="none",
        zorder=6,
        label=f"best, {name} = {float(best):.4g}",
    )


def _signed(slope: float) -> str:
    return f"{slope:+.3g}".replace("-", "−") if abs(slope) > 1e-12 else "0"
