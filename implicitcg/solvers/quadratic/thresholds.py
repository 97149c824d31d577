"""The thresholds of this room: when a search gives up, and when it leaves the rest to another."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What was measured on two cores of a shared x86 server, 2026."""

    # block pivoting
    blocks: int = 2  # rounds without progress after which constraints are exchanged one at a time
    patience: int = 30  # rounds without progress after which the search is given up
    at_once: int = 40  # variables and constraints up to which a batch is searched at once; above, one after another
    constraints: int = (
        4  # per unknown, above which an interior point method, with matrices of the size of `x`, is cheaper
    )

    # the end
    doubtful: float = 1e4  # roundings of a relative pivot below which rows are looked at for dependence
    clear: float = 1e4  # how many times larger than the slack a multiplier of an interior point is that stays positive
    exchanges: int = 8  # rounds of the polish after an interior point method; one is enough as a rule


THRESHOLDS = Thresholds()
