"""Pictures of what the library finds, with Matplotlib (`pip install "implicitcg[plots]"`).

Every function draws on the Matplotlib axes it is given, or on new ones, and returns them.
"""

from .path import kinks as kinks
from .path import path as path
from .report import report as report
from .tuning import trajectory as trajectory
from .tuning import tuning as tuning
from .tuning import zoom as zoom
