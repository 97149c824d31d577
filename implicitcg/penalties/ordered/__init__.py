"""Sets and penalties about the order of entries: isotonic, permutahedron, sorted l1, total variation."""

from .isotonic import Isotonic as Isotonic
from .permutahedron import Permutahedron as Permutahedron
from .permutahedron import toward_permutahedron as toward_permutahedron
from .sorted_l1 import SortedL1 as SortedL1
from .total_variation import TotalVariation as TotalVariation
