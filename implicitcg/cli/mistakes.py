"""What the user got wrong: one exception, and the words that point to the right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class Mistake(Exception):
    """Input that cannot be used. The message names the cause and what to do; the command ends with exit code 2."""


def closest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'bmi'?`, or nothing when no known name is near."""
    candidates = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), candidates, n=2, cutoff=0.6)
    if not found:
        return ""
    return f" Did you mean {' or '.join(repr(candidates[key]) for key in found)}?"


def listed(names: Sequence[str], most: int = 6) -> str:
    """`'age', 'bmi' and 3 more`: the first names, and how many follow."""
    quoted = [repr(name) for name in names]
    if len(quoted) > most:
        return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
