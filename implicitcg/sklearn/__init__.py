"""Estimators for scikit-learn that choose their penalties by derivatives instead of a grid.

scikit-learn is imported when one of them is asked for: `from implicitcg.sklearn import GradientLassoCV`, or
`icg.sklearn.GradientLassoCV`.
"""

from ..base import needs

needs("sklearn", "sklearn", "icg.sklearn")

from .classification import GradientSparseLogisticCV as GradientSparseLogisticCV
from .estimator import AbstractGradientCV as AbstractGradientCV
from .regression import GradientElasticNetCV as GradientElasticNetCV
from .regression import GradientGroupLassoCV as GradientGroupLassoCV
from .regression import GradientLassoCV as GradientLassoCV
from .regression import GradientLinearSVRCV as GradientLinearSVRCV
from .regression import GradientMultiTaskLassoCV as GradientMultiTaskLassoCV
from .regression import GradientWeightedLassoCV as GradientWeightedLassoCV
