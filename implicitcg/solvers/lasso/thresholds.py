"""The thresholds of this room: what was measured, and changes how long a search takes and not where it ends."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What was measured on two cores of a shared x86 server, 2026."""

    # the homotopy
    shrink: float = 0.05  # the penalties fall at most by this factor before the full gradient is looked at again
    anyway: float = 0.95  # the penalties fall at least by this factor when no slot is free
    close: float = 0.9  # a feature gets a slot when it is predicted to enter above this part of the next penalties
    near: float = 1e-6  # a correlation this close to its threshold, relative to it, is taken to be on it
    patience: int = 50  # steps with momentum for one pass over the full gradient that is allowed

    # slots
    most_slots: int = 4096  # a larger tableau costs more than momentum
    most_slots_sparse: int = 1024  # the same where `X` is sparse, whose products are cheaper than knots among thousands
    one_size: int = 1300  # up to this many slots one size does, and the program is half as large
    chunk: int = 256  # slots filled at once
    chunk_sparse: int = 64  # a slot not needed after all costs more where columns are sparse, and a pass over `X` less
    columns: int = 256  # columns multiplied at once
    copied: int = 32  # columns copied at once where `X` itself is multiplied

    # the tableau
    block: int = 64  # rows solved at once
    few_rows: int = 512  # up to this many rows a product with all of them is quickest; more are a multiple of `block`
    many_rows: int = 2048  # rows of which most are not in use as a rule
    combined: int = 8  # rows combined at once, a divisor of `block`
    width: int = 512  # columns combined at once: what stays in the cache


THRESHOLDS = Thresholds()
