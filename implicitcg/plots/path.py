"""Coefficients along a regularisation path, and where paths have their kinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .style import CHOSEN, FAINT, KINK, LINES, TEXT, axes, quiet


def path(
    alphas: ArrayLike,
    coefs: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    chosen: float | None = None,
    ax: Any = None,
    most: int = 8,
    legend: bool = True,
) -> Any:
    """Draw coefficients against the penalty, on a logarithmic axis; the largest are coloured and named.

    Args:
        alphas: penalties `(m,)`, in any order; coefficients are linear in the penalty between them, as on a LASSO path.
        coefs: coefficients `(m, p)`.
        names: of the features.
        chosen: a penalty to mark; the largest coefficients there are the ones to be named.
        ax: Matplotlib axes; new ones by default.
        most: how many coefficients are named.
        legend: whether their names stand to the right of the axes.

    Returns:
        The axes.

    Raises:
        ValueError: the shapes disagree.
        ImportError: Matplotlib is missing.
    """
    alphas, coefs = np.asarray(alphas, float), np.asarray(coefs, float)
    if alphas.ndim != 1 or coefs.shape[:1] != alphas.shape or coefs.ndim != 2:
        raise ValueError(f"alphas has shape {alphas.shape} and coefs {coefs.shape}; (m,) and (m, p) are needed.")
    ax = axes(ax)
    order = np.argsort(alphas)
    alphas, coefs = alphas[order], coefs[order]
    # what is linear in the penalty is curved on a logarithmic axis
    dense = np.unique(np.concatenate([alphas, np.geomspace(alphas[0], alphas[-1], 400)]))
    lines = np.stack([np.interp(dense, alphas, column) for column in coefs.T], axis=1)
    at = alphas[0] if chosen is None else chosen
    value = np.array([np.interp(at, alphas, column) for column in coefs.T])
    value = value if value.any() else coefs[0]  # an empty model: those that are largest with the least penalty
    named = [j for j in np.argsort(-np.abs(value), kind="stable")[:most] if value[j] != 0]
    named.sort(key=lambda j: -value[j])  # the legend in the order of the lines
    for j in np.flatnonzero(np.any(coefs != 0, axis=0)):
        if j not in named:
            ax.plot(dense, lines[:, j], color=FAINT, lw=0.8, zorder=1)
    ax.axhline(0, color=KINK, lw=0.6, zorder=0)
    for j, color in zip(named, LINES * (len(named) // len(LINES) + 1), strict=False):
        ax.plot(dense, lines[:, j], color=color, lw=1.7, zorder=2, label=str(j) if names is None else names[j])
    if chosen is not None:
        ax.axvline(chosen, color=CHOSEN, lw=1.1, zorder=3)
    ax.set_xscale("log")
    ax.set_xlim(alphas[0], alphas[-1])
    ax.set_xlabel("alpha")
    ax.set_ylabel("coefficient")
    if named:
        low, high = lines[:, named].min(), lines[:, named].max()
        ax.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))  # the others may leave the picture
    if named and legend:
        ax.legend(frameon=False, fontsize=8.5, labelcolor=TEXT, loc="center left", bbox_to_anchor=(1.01, 0.5))
    quiet(ax)
    return ax


def kinks(rows: Mapping[str, ArrayLike], *, ax: Any = None, chosen: float | None = None) -> Any:
    """Draw one row of ticks for every path: the penalties at which its coefficients have a kink.

    Args:
        rows: `{label: penalties}`, drawn from top to bottom.
        ax: Matplotlib axes; new ones by default.
        chosen: a penalty to mark.

    Returns:
        The axes.
    """
    ax = axes(ax)
    for row, (label, positions) in enumerate(rows.items()):
        last = row == len(rows) - 1
        positions = np.asarray(positions, float)
        ax.plot(
            positions,
            np.full(len(positions), -row),
            "|",
            color=TEXT if last else KINK,
            ms=6,
            mew=0.9 if last else 0.7,
            label=label,
        )
    if chosen is not None:
        ax.axvline(chosen, color=CHOSEN, lw=1.1, zorder=3)
    ax.set_xscale("log")
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.set_yticks([-row for row in range(len(rows))], list(rows))
    ax.set_xlabel("alpha")
    quiet(ax)
    ax.tick_params(axis="y", length=0, labelsize=7.5)
    ax.spines["left"].set_visible(False)
    return ax
