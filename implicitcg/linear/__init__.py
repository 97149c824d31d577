"""Design matrices, faces, factorisations to reuse, and linear solvers with a verdict."""

from .abstract_design import AbstractDesign as AbstractDesign
from .faces import AbstractFace as AbstractFace
from .faces import Coordinates as Coordinates
from .faces import Everything as Everything
from .factorisation import BucketedFactor as BucketedFactor
from .factorisation import FaceFactor as FaceFactor
from .factorisation import bucketed_factorise as bucketed_factorise
from .factorisation import factorise as factorise
from .matrix import AbstractMatrix as AbstractMatrix
from .matrix import DenseMatrix as DenseMatrix
from .matrix import SparseMatrix as SparseMatrix
from .matrix import problem_matrix as problem_matrix
from .monotone import AbstractSquareMap as AbstractSquareMap
from .monotone import CircularMap as CircularMap
from .monotone import DenseMap as DenseMap
from .monotone import Splitting as Splitting
from .monotone import circular_spectrum as circular_spectrum
from .sparse_design import SparseDesign as SparseDesign
from .standardised_design import StandardisedDesign as StandardisedDesign
