"""`implicitcg predict`: a stored model applied to the rows of a CSV file."""

from __future__ import annotations

import argparse
import csv
import io
import sys

from . import document
from .files import check_outputs, write_all
from .table import read_table


def run(arguments: argparse.Namespace) -> int:
    """Read the model and the rows, predict, and print or write one column of predictions."""
    if arguments.out:
        check_outputs([arguments.out], [arguments.model, arguments.csv])
    stored = document.read_document(arguments.model)
    table = read_table(arguments.csv)
    needed = stored["features"]["inputs"]
    table.require(needed, "a feature of the model")
    predictions = document.predictions(stored, table.numbers(needed))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = predictions.reshape(len(predictions), -1)
    names = [stored["data"]["target"], *stored["data"].get("also", [])]
    writer.writerow(names[: columns.shape[1]])
    writer.writerows([repr(float(value)) for value in row] for row in columns)
    if arguments.out:
        write_all({arguments.out: text.getvalue().encode()})
    else:
        sys.stdout.write(text.getvalue())
    return 0
