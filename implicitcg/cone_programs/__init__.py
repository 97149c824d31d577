"""Our algebra of cone programs on the host: faces, systems of their derivatives, the polish to rounding.

`program` holds the data, `faces` (with `surfaces` and `semidefinite`) the Jacobian of the projection, `system` what a
linear system on a face has to offer; four files implement it, `chosen_system` chooses, `recent_systems` remembers.
`polish` and `inverse` solve with it.
"""

from .chosen_system import by_products as by_products
from .dependence import on_independent_rows as on_independent_rows
from .faces import snapped_blocks as snapped_blocks
from .inverse import ConicInverse as ConicInverse
from .polish import PolishedPoint as PolishedPoint
from .polish import polished as polished
from .program import KNOWN as KNOWN
from .program import ConePoint as ConePoint
from .program import ConeProgram as ConeProgram
from .program import Layout as Layout
from .program import blocks as blocks
from .program import cone_program as cone_program
from .program import exponents_in as exponents_in
from .program import known as known
from .program import layout as layout
