"""Deep equilibrium layers that know whether they are at equilibrium."""

from typing import Any

from .affine import AbstractAffineLayer as AbstractAffineLayer
from .affine import ContractiveDEQ as ContractiveDEQ
from .affine import MonotoneDEQ as MonotoneDEQ
from .batch import Statistics as Statistics
from .batch import mean_converged as mean_converged
from .batch import statistics as statistics
from .certificate import LayerCertificate as LayerCertificate
from .certificate import certify as certify
from .layer import DEQ as DEQ
from .layer import corrections as corrections
from .regularisation import jacobian_penalty as jacobian_penalty
from .regularisation import spectral_radius as spectral_radius
from .regularisation import spectrally_normalised as spectrally_normalised


def __getattr__(name: str) -> Any:
    """`icg.deq.flax`, imported when it is asked for: Flax is optional."""
    if name == "flax":
        import importlib

        return importlib.import_module(".flax", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
