"""Derivatives of iterates (`icg.unroll`): all steps, the last ones or one, with what may be said of their error."""

from .contraction import Contraction as Contraction
from .contraction import contraction as contraction
from .derivative import UnrolledDerivative as UnrolledDerivative
from .derivative import derivative as derivative
from .iterate import iterate as iterate
