"""The command itself: from arguments to an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base import needs
from . import document
from .arguments import parser
from .datasets import Data, bundled, check_for_fit, from_csv, with_tasks
from .features import learn_recipe
from .files import check_outputs, write_all
from .fit import folds, tuned
from .mistakes import Mistake, listed
from .models import check_model, groups_of
from .peer import lasso_cv
from .picture import check_picture, draw, draw_search
from .predict import run as run_predict
from .summary import print_summary

if TYPE_CHECKING:
    from rich.console import Console

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default that of the process).

    Returns:
        0 when it worked, 1 when a solver failed, 2 for bad input, 130 after Ctrl-C. Nothing is raised for these, and
        then no file is written.
    """
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:  # argparse has printed help, the version or what is wrong
        return int(end.code or 0)
    try:
        return run_tune(arguments) if arguments.command == "tune" else run_predict(arguments)
    except Mistake as mistake:
        return _complain(arguments, str(mistake), BAD_INPUT)
    except RuntimeError as failure:  # a SolveError, or its text in the error that JAX raises from compiled code
        return _complain(arguments, str(failure), FAILED)
    except KeyboardInterrupt:
        return _complain(arguments, "interrupted; nothing was written.", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run_tune(arguments: argparse.Namespace) -> int:
    """`implicitcg tune`: read, check, search, compare, draw, write, and only then report."""
    _check_packages()
    check_model(arguments.model, float32=arguments.float32, also=arguments.also, groups=arguments.group)
    outputs = [name for name in (arguments.plot, arguments.out) if name]
    check_outputs(outputs, [arguments.csv] if arguments.csv else [])
    if arguments.plot:
        check_picture(arguments.plot)
    data = _data(arguments)
    if arguments.also:
        data = with_tasks(data, arguments.also)
    check_for_fit(data, arguments.cv)
    recipe, notes = learn_recipe(data.X, data.features, arguments.polynomial)
    errors = _console(stderr=True)
    for note in notes:
        _tell(errors, f"note: {note}")
    dtype = np.float32 if arguments.float32 else np.float64
    X, y = recipe.apply(data.X).astype(dtype), data.responses.astype(dtype)
    groups = groups_of(recipe, arguments.group)
    title = f"{data.name}: {X.shape[0]} rows, {X.shape[1]} {'terms' if arguments.polynomial > 1 else 'features'}"
    chatty = not (arguments.quiet or arguments.json)
    if chatty:
        _announce(errors, data, title, arguments)
    splits = folds(len(y), arguments.cv, arguments.seed)
    progress, lasso = chatty and errors.is_terminal, arguments.model == "lasso"
    fit = tuned(arguments.model, X, y, splits, seed=arguments.seed, progress=progress, groups=groups)
    if not fit.search.converged:
        _tell(errors, f"warning: {fit.search.reason}")
    peer = lasso_cv(X, y, splits) if arguments.compare and lasso else None
    stored = document.document(
        data, arguments.model, recipe, fit, peer, folds=arguments.cv, seed=arguments.seed, dtype=np.dtype(dtype).name
    )
    contents = {arguments.out: document.text(stored).encode()} if arguments.out else {}
    if arguments.plot:
        if lasso:
            picture = draw(arguments.plot, title, recipe.terms, X, y, splits, fit, peer)
        else:
            picture = draw_search(arguments.plot, title, recipe.terms, (data.target, *data.also), fit)
        contents[arguments.plot] = picture
    write_all(contents)
    if arguments.json:
        print(document.text(stored), end="")
    if chatty:
        console = _console()
        print_summary(console, data, recipe, fit, peer, arguments.cv)
        for name in outputs:
            console.print(f"wrote {name}", markup=False, soft_wrap=True)
    return 0


def _check_packages() -> None:
    """Say at once, and not after the search, where a package is missing that `tune` is made of."""
    for package in ("rich", "sklearn"):
        try:
            needs(package, "cli", "The command")
        except ImportError as error:
            raise Mistake(str(error)) from None


def _console(*, stderr: bool = False) -> Console:
    return needs("rich.console", "cli", "The command").Console(stderr=stderr, highlight=False)


def _data(arguments: argparse.Namespace) -> Data:
    if arguments.csv and arguments.data:
        raise Mistake(f"Give either the file {arguments.csv} or --data {arguments.data}, not both.")
    if arguments.csv:
        return from_csv(arguments.csv, arguments.target, arguments.drop)
    if arguments.data:
        return bundled(arguments.data, arguments.target, arguments.drop, arguments.also)
    raise Mistake(
        "Which data? Give a CSV file, or --data NAME for a data set of scikit-learn, such as --data diabetes."
    )


def _announce(console: Console, data: Data, title: str, arguments: argparse.Namespace) -> None:
    degree = arguments.polynomial
    products = f"products of up to {degree} of {len(data.features)} features, " if degree > 1 else ""
    _tell(
        console,
        f"{title}; predicting {listed((data.target, *data.also))}; {products}centred and scaled to unit variance.",
    )


def _tell(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def _complain(arguments: argparse.Namespace, message: str, code: int) -> int:
    print(f"implicitcg {arguments.command}: {message}", file=sys.stderr)
    return code
