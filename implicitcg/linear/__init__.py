"""Faces, factorisations to reuse, and linear solvers with a verdict."""

from .faces import AbstractFace as AbstractFace
from .faces import Coordinates as Coordinates
from .faces import Everything as Everything
from .factorisation import BucketedFactor as BucketedFactor
from .factorisation import FaceFactor as FaceFactor
from .factorisation import bucketed_factorise as bucketed_factorise
from .factorisation import factorise as factorise
