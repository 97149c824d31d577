"""Proximal maps (`icg.prox`): `prox_{t g}(x) = argmin_p t g(p) + ||p - x||^2 / 2`, all exact.

Differentiable in every argument, at every point, to every order. Vectors lie along the last axis; leading axes are a
batch. Where a map has a kink the derivative is the one of the smallest active set (entries that are about to leave zero
stay, runs that are about to split do not), and `icg.kinks`, `icg.conservative_jacobian` and `icg.certify` know the
others. Each map is the prox of one class in `icg.penalties`, for use in `icg.composite`.

::

    | map | penalty | class |
    |---|---|---|
    | `l1(x, t)` | `sum_j t_j |p_j|` | `L1` |
    | `nonnegative_l1(x, t)` | `sum_j t_j p_j`, `p >= 0` | `NonnegativeL1` |
    | `elastic_net(x, t, l1_ratio)` | `sum_j t_j (r |p_j| + (1 - r) p_j^2 / 2)` | `ElasticNet` |
    | `huber(x, t, delta)` | `sum_j t_j h(p_j)` | `Huber` |
    | `mcp(x, t, gamma)`, `scad(x, t, a)` | the nonconvex penalties | `MCP`, `SCAD` |
    | `l2(x, t)` | `t ||p||` | `L2` |
    | `linf(x, t)` | `t max_j |p_j|` | `LInf` |
    | `group_l2(x, t, groups)` | `sum_g t_g ||p_g||` | `GroupL2` |
    | `sorted_l1(x, weights)` | `sum_i w_i |p|_(i)` | `SortedL1` |
    | `total_variation(x, t)` | `t sum_i |p_{i+1} - p_i|` | `TotalVariation` |
    | `nuclear_norm(M, t)` | `t sum_i sigma_i(P)` | `NuclearNorm` |
"""

from .entries import elastic_net as elastic_net
from .entries import huber as huber
from .entries import l1 as l1
from .entries import mcp as mcp
from .entries import nonnegative_l1 as nonnegative_l1
from .entries import scad as scad
from .norms import group_l2 as group_l2
from .norms import l2 as l2
from .norms import linf as linf
from .norms import nuclear_norm as nuclear_norm
from .ordered import sorted_l1 as sorted_l1
from .ordered import total_variation as total_variation
