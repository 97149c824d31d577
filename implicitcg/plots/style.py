"""Colours, and the way to Matplotlib, which is an optional dependency."""

from __future__ import annotations

from typing import Any

from ..base import needs

# Okabe and Ito's palette, told apart by colour-blind readers too; the chosen point is the only vermilion.
CURVE = "#0072B2"
CHOSEN = "#D55E00"
PEER = "#009E73"
KINK = "#8A8F98"
TEXT = "#3A3F47"
LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#7A5195", "#8C6D1F", "#5B6470")
FAINT = "#C9CDD3"


def matplotlib() -> Any:
    """The Matplotlib package, or an `ImportError` that says how to get it."""
    return needs("matplotlib", "plots", "A picture")


def axes(ax: Any) -> Any:
    """The axes given, or those of a new figure."""
    matplotlib()
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def quiet(ax: Any) -> None:
    """Two spines, thin ticks, soft colours."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(KINK)
    ax.tick_params(colors=TEXT, labelsize=8.5, which="both", width=0.6)
    ax.xaxis.label.set_color(TEXT)
    ax.yaxis.label.set_color(TEXT)
