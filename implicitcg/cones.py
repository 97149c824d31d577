"""Convex cones (`icg.cones`) in Clarabel's conventions: `A x + s = b`, `s` in a `Product` of these.

::

    | cone | vectors | its dual |
    |---|---|---|
    | `Zero(n)` | `s = 0` | `Free(n)` |
    | `Nonnegative(n)` | `s_i >= 0` | itself |
    | `SecondOrder(n)` | `(t, x)`, `||x|| <= t`, `n` numbers in all | itself |
    | `PSD(n)` | the scaled triangle of a matrix of order `n`, `n (n + 1) / 2` numbers | itself |
    | `Exponential()` | `(x, y, z)`, `y exp(x / y) <= z`, `y > 0`, and limits | `Dual(Exponential())` |
    | `Power(a)` | `(x, y, z)`, `x^a y^{1-a} >= |z|`, `x, y >= 0` | `Dual(Power(a))` |
    | `Product(K, ...)` | the blocks one after the other | the product of the duals |

Each has `dimension`, `project(v)`, `dual()`, `project_dual(v)` and `contains(v)`, along the last axis of `v`.
"""

from .penalties.cones import PSD as PSD
from .penalties.cones import AbstractCone as AbstractCone
from .penalties.cones import Dual as Dual
from .penalties.cones import Exponential as Exponential
from .penalties.cones import Free as Free
from .penalties.cones import Nonnegative as Nonnegative
from .penalties.cones import Power as Power
from .penalties.cones import Product as Product
from .penalties.cones import SecondOrder as SecondOrder
from .penalties.cones import Zero as Zero
