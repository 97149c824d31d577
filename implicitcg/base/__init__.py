"""Types, statuses with advice, and the only home of private JAX and `equinox.internal`."""

from .checks import kink_tolerance as kink_tolerance
from .closures import close_over as close_over
from .errors import SolveError as SolveError
from .errors import error_if as error_if
from .errors import nondifferentiable as nondifferentiable
from .errors import raise_unless_converged as raise_unless_converged
from .errors import translated_errors as translated_errors
from .errors import worst as worst
from .extras import needs as needs
from .loops import anywhere as anywhere
from .loops import fori_loop as fori_loop
from .loops import one_by_one as one_by_one
from .loops import only_where as only_where
from .loops import switch as switch
from .loops import vary_together as vary_together
from .loops import while_loop as while_loop
from .status import Status as Status
from .status import code_of as code_of
from .tracing import concrete_value as concrete_value
from .tracing import concretely as concretely
from .tracing import is_traced as is_traced
from .tracing import outside_transformations as outside_transformations
