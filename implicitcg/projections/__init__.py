"""Euclidean projections on convex sets (`icg.projections`): exact, and differentiable in every argument at every point.

Vectors lie along the last axis; leading axes are a batch, and a parameter is one for all or one for each. Where the
projection has a kink, the derivative is the one of the smallest face (see each set), and `icg.kinks`,
`icg.conservative_jacobian` and `icg.certify` know the others. `docs/projections.md` has them all in a table.
"""

from .cones import exponential_cone as exponential_cone
from .cones import power_cone as power_cone
from .cones import psd_cone as psd_cone
from .cones import second_order_cone as second_order_cone
from .coupled import birkhoff as birkhoff
from .coupled import transport as transport
from .ordered import isotonic as isotonic
from .ordered import permutahedron as permutahedron
from .planes import affine_set as affine_set
from .planes import halfspace as halfspace
from .planes import hyperplane as hyperplane
from .planes import polyhedron as polyhedron
from .sums import box as box
from .sums import box_section as box_section
from .sums import capped_simplex as capped_simplex
from .sums import l1_ball as l1_ball
from .sums import l2_ball as l2_ball
from .sums import nonnegative as nonnegative
from .sums import simplex as simplex
