"""Keeping the state of a search in a file that is always whole.

The file is written beside its place and moved there in one step, so a process that is killed at any moment leaves
either the old state or the new one.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1


class Checkpoint:
    """Arrays and plain values of a search, in one `.npz` file; does nothing when `path` is `None`.

    Args:
        path: where the state is kept.
        identity: what the search is about (its kind and the shape of theta); a file with another one is refused.
    """

    def __init__(self, path: str | os.PathLike[str] | None, identity: dict[str, Any]):
        self.path = None if path is None else Path(path)
        self.identity = {"format": FORMAT, **identity}

    def save(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Replace the file's state."""
        if self.path is None:
            return
        meta = json.dumps({"identity": self.identity, "values": values})
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, __meta__=np.frombuffer(meta.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The state kept, or `None` where there is none yet.

        Raises:
            ValueError: the file is no checkpoint, or belongs to another search.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop("__meta__").tobytes().decode())
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{self.path} is not a checkpoint of `icg.tune` ({error}). Choose another path, or delete the file."
            ) from error
        if meta.get("identity") != self.identity:
            raise ValueError(
                f"{self.path} belongs to another search ({meta.get('identity')}, and this one is {self.identity}). "
                "Choose another path, or delete the file to start anew."
            )
        return arrays, meta["values"]
