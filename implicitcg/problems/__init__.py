"""Problems: the equations, and the named models built of them."""

from .composite import Composite as Composite
from .lasso import lasso as lasso
