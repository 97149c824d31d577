"""A CSV file as named columns of numbers: read strictly, so that what is wrong is said instead of guessed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .mistakes import Mistake, closest, counted, listed

DELIMITERS = ",;\t|"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text: `rows[i][j]` stands on line `lines[i]` of the file, in column `names[j]`."""

    source: str
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def require(self, names: Sequence[str], purpose: str) -> None:
        """Raise a `Mistake` unless every one of `names` is a column."""
        absent = [name for name in names if name not in self.names]
        if not absent:
            return
        near = closest(absent[0], self.names) if len(absent) == 1 else ""
        what = "column" if len(absent) == 1 else "columns"
        raise Mistake(
            f"{self.source} has no {what} {listed(absent, 12)} ({purpose}).{near} It has: {listed(self.names, 20)}."
        )

    def numbers(self, names: Sequence[str], target: str | None = None) -> NDArray[np.float64]:
        """The columns `names` as an array `(rows, names)`, or a `Mistake` that says where text or gaps are.

        `target` is a column that the advice must not be to leave out.
        """
        values = np.empty((len(self.rows), len(names)))
        gaps: dict[str, list[int]] = {}
        text: dict[str, tuple[str, int]] = {}
        infinite: dict[str, int] = {}
        places = [self.names.index(name) for name in names]
        for i, (row, line) in enumerate(zip(self.rows, self.lines, strict=True)):
            for j, (place, name) in enumerate(zip(places, names, strict=True)):
                cell = row[place].strip()
                if cell.casefold() in MISSING:
                    gaps.setdefault(name, []).append(line)
                    continue
                try:
                    values[i, j] = np.nan if "_" in cell else float(cell)
                except ValueError:
                    values[i, j] = np.nan
                if np.isnan(values[i, j]):
                    text.setdefault(name, (cell, line))
                elif np.isinf(values[i, j]):
                    infinite.setdefault(name, line)
        if text:
            raise Mistake(self._about_text(text, target))
        if gaps:
            raise Mistake(self._about_gaps(gaps, target))
        if infinite:
            where = ", ".join(f"{name!r} (line {line})" for name, line in list(infinite.items())[:6])
            raise Mistake(f"{self.source} has infinite values in {where}. Correct or delete those rows.")
        return values

    def _about_text(self, text: dict[str, tuple[str, int]], target: str | None) -> str:
        shown = ", ".join(f"{name!r} ({cell[:30]!r} on line {line})" for name, (cell, line) in list(text.items())[:6])
        more = f" and {len(text) - 6} more" if len(text) > 6 else ""
        where = f"{self.source} has text where numbers are needed, in {counted(len(text), 'column')}: {shown}{more}."
        if all(_is_number(cell.replace(",", "")) for cell, _ in text.values()):
            return f"{where} Numbers are read without commas: write 3.5 for 3,5 and 1200 for 1,200."
        if target in text:
            return (
                f"{where} The target {target!r} must be a number; encode it, or predict another column with --target."
            )
        return f"{where} Encode them as numbers, or leave the columns out: {_drop(list(text))}."

    def _about_gaps(self, gaps: dict[str, list[int]], target: str | None) -> str:
        total = sum(map(len, gaps.values()))
        rows = len({line for lines in gaps.values() for line in lines})
        shown = "; ".join(f"{name!r}, {_lines(lines)}" for name, lines in list(gaps.items())[:6])
        more = f"; and {len(gaps) - 6} more columns" if len(gaps) > 6 else ""
        where = f"{self.source} has {counted(total, 'missing value')} in {counted(rows, 'row')}: {shown}{more}."
        if target in gaps:
            return f"{where} Delete these rows: nothing can be learnt from one without its target {target!r}."
        cure = "Delete these rows, fill the gaps (with the median of the column, say), or leave the columns out"
        return f"{where} {cure}: {_drop(list(gaps))}."


def read_table(path: str | Path) -> Table:
    """Read a CSV file with a header line, in UTF-8, separated by commas, semicolons, tabs or bars.

    Raises:
        Mistake: no such file, a directory, another encoding, empty, no header, ragged or repeated columns.
    """
    path = Path(path)
    text = _decode(path)
    if not text.strip():
        raise Mistake(f"{path} is empty: a header line with column names and rows of numbers are needed.")
    delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader(text.lstrip().splitlines()[:1], delimiter=mark))))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise Mistake(f"{path}, line {reader.line_num}: not a valid CSV line ({error}). Check the quotes.") from None
    names = _header(path, rows.pop(0), lines.pop(0))
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise Mistake(
                f"{path}, line {line} has {counted(len(row), 'value')} and the header names "
                f"{counted(len(names), 'column')}. Quote values that contain {delimiter!r}, or mend the line."
            )
    if not rows:
        raise Mistake(f"{path} has a header and no rows: there is nothing to fit.")
    return Table(path.name, names, rows, lines)


def _decode(path: Path) -> str:
    if path.is_dir():
        raise Mistake(f"{path} is a directory; a CSV file is needed.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        folder = path.parent
        near = closest(path.name, [child.name for child in folder.iterdir()]) if folder.is_dir() else ""
        raise Mistake(f"{path} does not exist.{near}") from None
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        raise Mistake(
            f"{path} is not in UTF-8 (byte 0x{raw[error.start]:02x} on line {line}). Save it as 'CSV UTF-8', or "
            f"convert it: iconv -f {encoding} -t utf-8 {path.name} > converted.csv"
        ) from None


def _header(path: Path, cells: list[str], line: int) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    if all(_is_number(name) for name in names if name):
        raise Mistake(f"{path}, line {line} holds numbers where the column names belong. Add a header line.")
    blank = [str(j + 1) for j, name in enumerate(names) if not name]
    if blank:
        raise Mistake(
            f"{path}, line {line}: column {', '.join(blank[:6])} has no name. Name it or remove it (pandas writes such "
            "a column unless it is told `to_csv(..., index=False)`)."
        )
    repeated = sorted({name for name in names if names.count(name) > 1}, key=names.index)
    if repeated:
        raise Mistake(f"{path}, line {line}: the header repeats {listed(repeated)}. Column names must differ.")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lines(lines: list[int]) -> str:
    first = f"{'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines[:3]))}"
    return first + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")


def _drop(names: list[str]) -> str:
    flags = " ".join(f"--drop {name!r}" if " " in name else f"--drop {name}" for name in names[:6])
    return flags + (" ..." if len(names) > 6 else "")
