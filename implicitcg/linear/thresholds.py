"""The thresholds of this room: what was measured, and changes how long a product or factor takes, not its value."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What was measured on two cores of a shared x86 server, 2026."""

    # sparse designs
    heights: tuple[int, ...] = (1, 2, 4, 8, 16)  # of strips; higher ones pad more than they save
    join: float = 1.5  # what joining a strip to its column costs, in entries
    fill: float = 1 / 40  # one scattered addition takes the time of 40 multiplications of a matrix product
    strips: int = 256  # strips of a cross block at a time: out of cache nowhere

    # factors
    kept: int = 1300  # factors up to this order are stored for the derivative; larger ones are made again where asked


THRESHOLDS = Thresholds()
