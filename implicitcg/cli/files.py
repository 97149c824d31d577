"""Files that appear whole or not at all: temporary neighbours, moved into place when all of them are written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .mistakes import Mistake


def check_outputs(outputs: Sequence[str], inputs: Sequence[str] = ()) -> None:
    """Raise a `Mistake` for an output that could not be written at the end, before the work begins."""
    seen = {Path(name).resolve() for name in inputs}
    for name in outputs:
        path = Path(name).resolve()
        if path in seen:
            raise Mistake(f"{name} is given twice: it would be overwritten. Every file needs a name of its own.")
        seen.add(path)
        if path.is_dir():
            raise Mistake(f"{name} is a directory; give the name of a file in it, such as {Path(name) / 'out.json'}.")
        if path.exists() and not path.is_file():
            raise Mistake(f"{name} is not an ordinary file and would be replaced. Give another name.")
        ancestor = next(parent for parent in path.parents if parent.exists())
        if not ancestor.is_dir():
            raise Mistake(f"{name} cannot be written: {ancestor} is a file and not a directory.")
        probe = ancestor / f".{path.name}.{os.getpid()}.probe"
        try:
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            raise Mistake(f"{name} cannot be written: {error.strerror} (in {ancestor}).") from None


def write_all(contents: Mapping[str, bytes]) -> None:
    """Write every file beside its final place, then move all of them there; after an error nothing is left behind."""
    temporary: dict[Path, Path] = {}
    name = ""
    try:
        for name, content in contents.items():
            path = Path(name).resolve()
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary[beside] = path
            with beside.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for beside, path in temporary.items():
            os.replace(beside, path)
    except OSError as error:
        raise Mistake(f"{error.filename or name} cannot be written: {error.strerror}.") from None
    finally:
        for beside in temporary:
            beside.unlink(missing_ok=True)
