"""What the command prints at the end: one table, and the sentences behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base import needs
from ..tuning import Outcome
from .datasets import Data
from .features import Recipe
from .fit import Fit
from .peer import PEER_GRID, PEER_TOLERANCE, RANGE, Peer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_summary(console: Console, data: Data, recipe: Recipe, fit: Fit, peer: Peer | None, folds: int) -> None:
    """The table and, below it, the reasons."""
    text = needs("rich.text", "cli", "The command")
    console.print(table(recipe, fit, peer))
    for label, sentence in sentences(data, fit, peer, folds):
        console.print(text.Text.assemble((f"{label}: ", "bold"), sentence))


def table(recipe: Recipe, fit: Fit, peer: Peer | None) -> Table:
    """One row a quantity, one column a program."""
    search, terms = fit.search, len(recipe.factors)
    left, right = slopes(fit)
    ours = {
        **{name: shown(value) for name, value in fit.hyperparameters.items()},
        "CV error": f"{search.value:.8g}",
        "standard error": f"{search.standard_error:.4g}",
        "slope to the left": signed(left, search.value),
        "slope to the right": signed(right, search.value),
        "0 between them": between(fit),
        "support": f"{len(fit.support)} of {terms}",
        "certificate": fit.certificate.verdict,
        "solves": str(search.solves),
        "seconds searching": f"{search.seconds:.2f}",
        "seconds on all rows": f"{fit.seconds:.2f}",
    }
    grid: Table = needs("rich.table", "cli", "The command").Table(
        box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 3, 0, 0)
    )
    grid.add_column("")
    grid.add_column("implicitcg", justify="right")
    if peer is None:
        for label, value in ours.items():
            grid.add_row(label, value)
        return grid
    theirs = {
        "alpha": f"{peer.alpha:.8g}",
        "CV error": f"{peer.error:.8g}",
        "standard error": f"{peer.standard_error:.4g}",
        "support": f"{peer.support} of {terms}",
        "solves": str(peer.solves),
        "seconds searching": f"{peer.seconds:.2f}",
        "seconds on all rows": "included",
    }
    grid.add_column("scikit-learn LassoCV", justify="right")
    for label, value in ours.items():
        grid.add_row(label, value, theirs.get(label, "-"))
    return grid


def shown(value: float | list[float]) -> str:
    """A number, or how many and from where to where."""
    if isinstance(value, list):
        return f"{len(value)} from {min(value):.3g} to {max(value):.3g}"
    return f"{value:.8g}"


def slopes(fit: Fit) -> tuple[float, float]:
    """The derivative of the CV error by log(alpha), from the left and from the right."""
    nan = float("nan")
    return fit.search.one_sided_slopes or (nan, nan)


def between(fit: Fit) -> str:
    """Whether 0 lies between the one-sided slopes, and how."""
    status = fit.search.status
    if status is Outcome.stationary_kink:
        return "yes, at a kink"
    if status is Outcome.flat:
        return "yes, flat"
    if status is Outcome.stationary_smooth:
        return "yes, both vanish"
    left, right = slopes(fit)
    return "yes" if left <= 0 <= right else "no"


def sentences(data: Data, fit: Fit, peer: Peer | None, folds: int) -> list[tuple[str, str]]:
    """The reasons, one labelled sentence each."""
    search = fit.search
    told = [
        ("minimum", f"{search.reason} Scope: {search.scope}."),
        ("certificate", f"{fit.certificate.verdict}: {fit.certificate.reason}"),
        *(("note", note) for note in search.notes),
    ]
    if search.one_sided_slopes is not None:
        told.insert(1, ("slopes", "change of the CV error (mean loss over the folds) per unit of log(alpha)."))
    if peer is not None:
        told.append(
            (
                "LassoCV",
                f"the same {folds} folds; {PEER_GRID} penalties from alpha_max down to {RANGE:g} of it, "
                f"tol={PEER_TOLERANCE:g}"
                + (f"; {peer.unconverged} of its solves did not converge." if peer.unconverged else "."),
            )
        )
    return told


def signed(slope: float, value: float) -> str:
    """`+0.0123`, a dash where there is no slope, and 0 where it is rounding next to the criterion's `value`."""
    if np.isnan(slope):
        return "-"
    return f"{slope:+.4g}" if abs(slope) > 1e-11 * abs(value) else "0"
