"""Optimisers for nonsmooth functions (`icg.optim`), as Optax transformations or made to feed one."""

from .inna import InnaState as InnaState
from .inna import inna as inna
from .ridge import RidgeElement as RidgeElement
from .ridge import ridge_element as ridge_element
from .ridge import ridge_method as ridge_method
from .sampling import reshuffled as reshuffled
from .steps import vanishing_steps as vanishing_steps
