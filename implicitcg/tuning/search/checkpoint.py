"""Keeping the evaluations of a search in a file that is always whole.

A search is a deterministic function of the evaluations it makes. So the file keeps those, and to resume is to run the
search again, with every evaluation that is in the file answered from there: it takes the same path and ends at the
same point. The file is written beside its place and moved there in one step: a process killed at any moment leaves
the old file or the new one, never a part.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CHECKPOINT_FORMAT = 2
INTERVAL = 1.0  # seconds between writes: what a kill can cost
LARGEST = 2**26  # bytes of warm starts that are kept; beyond, they are left out and a resumed solve starts cold


class Checkpoint:
    """A file of arrays and notes that belongs to one search; without a `path` nothing is kept.

    Args:
        path: where it is.
        identity: what the search is about; a file about something else is refused.
    """

    def __init__(self, path: str | os.PathLike[str] | None, identity: dict[str, Any]):
        self.path = None if path is None else Path(path)
        self.identity = {"format": CHECKPOINT_FORMAT, **identity}
        self._written = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether the file should be brought up to date: once a second."""
        return self.path is not None and time.perf_counter() - self._written > INTERVAL

    def read(self) -> tuple[dict[str, np.ndarray], list[list[str]]]:
        """What the file holds; nothing where there is none.

        Raises:
            ValueError: the file is no checkpoint, or belongs to another search.
        """
        if self.path is None or not self.path.exists():
            return {}, []
        return _read(self.path, self.identity)

    def write(self, arrays: dict[str, np.ndarray], notes: list[list[str]]) -> None:
        """Put it in its place, in one step."""
        if self.path is None:
            return
        meta = json.dumps({"identity": self.identity, "notes": notes})
        _replace(self.path, {"meta": np.frombuffer(meta.encode(), np.uint8), **arrays})
        self._written = time.perf_counter()


class EvaluationLog:
    """The evaluations of a search by theta, kept in a checkpoint.

    Raises:
        ValueError: the file is no checkpoint, or belongs to another search.
    """

    def __init__(self, kept: Checkpoint):
        self.kept = kept
        self._records: dict[bytes, dict[str, np.ndarray]] = {}
        self._notes: dict[bytes, list[str]] = {}
        self._dirty = False
        arrays, notes = kept.read()
        if "theta" in arrays:  # else the walk along an exact path, which broke
            for i, note in enumerate(notes):
                key = arrays["theta"][i].tobytes()
                self._records[key] = {name: values[i] for name, values in arrays.items()}
                self._notes[key] = list(note)

    def __len__(self) -> int:
        return len(self._records)

    def get(self, theta: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]] | None:
        """The evaluation at `theta` and the notes it left, if it was made already."""
        key = theta.tobytes()
        return (self._records[key], self._notes[key]) if key in self._records else None

    def put(self, theta: np.ndarray, record: dict[str, np.ndarray], notes: list[str]) -> None:
        """Keep an evaluation; the file is brought up to date once a second, and by `flush`."""
        if self.kept.path is None:
            return
        self._records[theta.tobytes()] = {"theta": theta, **record}
        self._notes[theta.tobytes()] = notes
        self._dirty = True
        if self.kept.due:
            self.flush()

    def flush(self) -> None:
        """Bring the file up to date."""
        if not self._dirty:
            return
        records = list(self._records.values())
        names = set.intersection(*[set(record) for record in records])
        if "roots" in names and sum(record["roots"].nbytes for record in records) > LARGEST:
            names.remove("roots")
        arrays = {name: np.stack([record[name] for record in records]) for name in sorted(names)}
        self.kept.write(arrays, list(self._notes.values()))
        self._dirty = False


def _read(path: Path, identity: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[list[str]]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes().decode())
        stored, notes = meta["identity"], meta["notes"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of icg.tune ({error}). Choose another path, or delete the file."
        ) from error
    if stored != identity:
        differs = {k for k in {*stored, *identity} if stored.get(k) != identity.get(k)}
        raise ValueError(
            f"{path} belongs to another search: {', '.join(sorted(differs))} differ. Choose another path, or "
            "delete the file to start anew."
        )
    return arrays, notes


def _replace(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
