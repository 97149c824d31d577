"""The words of the command line."""

from __future__ import annotations

import argparse

from .datasets import BUNDLED
from .document import installed
from .models import NAMES

EXAMPLES = """examples:
  implicitcg tune houses.csv --target price --model lasso --cv 5 --plot curve.png --out model.json
  implicitcg tune --data diabetes --polynomial 2
  implicitcg predict model.json new-houses.csv --out prices.csv
"""

ABOUT_TUNE = f"""Choose the penalties of a sparse model by cross-validation, with derivatives through its solution, and
say how far the result can be trusted: the slopes of the error on both sides of the optimum, and a certificate.

Features are centred and scaled to unit variance over all rows.

data sets (--data):
{chr(10).join(f"  {name:<14} {about}" for name, about in BUNDLED.items())}
"""


def parser() -> argparse.ArgumentParser:
    """The parser of `implicitcg` with its two sub-commands."""
    top = argparse.ArgumentParser(
        prog="implicitcg",
        description="Tune and certify sparse models through their own solutions.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"implicitcg {installed('implicitcg')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _tune(commands)
    _predict(commands)
    return top


def _tune(commands: argparse._SubParsersAction) -> None:
    tune = commands.add_parser(
        "tune",
        help="choose the penalty by cross-validation",
        description=ABOUT_TUNE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = tune.add_argument_group("data")
    data.add_argument("csv", nargs="?", metavar="DATA.csv", help="a CSV file with a header line, in UTF-8")
    data.add_argument("--data", metavar="NAME", help="a data set of scikit-learn instead of a file")
    data.add_argument("--target", metavar="COLUMN", help="the column to predict")
    data.add_argument("--drop", metavar="COLUMN", action="append", default=[], help="leave a column out (repeatable)")
    data.add_argument(
        "--also", metavar="COLUMN", action="append", default=[], help="a further target of multitask_lasso (repeatable)"
    )
    model = tune.add_argument_group("model")
    model.add_argument("--model", metavar="NAME", default="lasso", help=f"{', '.join(NAMES)} (default lasso)")
    model.add_argument(
        "--polynomial", metavar="DEGREE", type=_at_least(1), default=1, help="products of up to DEGREE features"
    )
    model.add_argument(
        "--group",
        metavar="A,B,...",
        action="append",
        default=[],
        help="columns that enter group_lasso together, with their products (repeatable); others stand alone",
    )
    model.add_argument("--cv", metavar="FOLDS", type=_at_least(2), default=5, help="number of folds (default 5)")
    model.add_argument("--seed", metavar="N", type=_at_least(0), default=0, help="how rows are shuffled into folds")
    model.add_argument("--float32", action="store_true", help="data and coefficients in single precision")
    output = tune.add_argument_group("output")
    output.add_argument("--plot", metavar="FILE", help="draw the search and the coefficients (.png, .svg, .pdf)")
    output.add_argument("--out", metavar="FILE", help="write the model as JSON, for `implicitcg predict`")
    output.add_argument("--json", action="store_true", help="print the model as JSON instead of the table")
    output.add_argument("--no-compare", dest="compare", action="store_false", help="do not run scikit-learn's LassoCV")
    output.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")


def _predict(commands: argparse._SubParsersAction) -> None:
    predict = commands.add_parser(
        "predict",
        help="apply a model file to new rows",
        description="Apply a model file to the rows of a CSV file that has the columns of its features.",
        epilog="example:\n  implicitcg predict model.json new-houses.csv --out prices.csv\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("model", metavar="MODEL.json", help="written by `implicitcg tune ... --out MODEL.json`")
    predict.add_argument("csv", metavar="DATA.csv", help="the rows to predict; other columns are ignored")
    predict.add_argument("--out", metavar="FILE", help="write the predictions there instead of printing them")


def _at_least(least: int) -> type:
    def integer(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is too small; give {least} or more")
        return number

    return integer  # type: ignore[return-value]
