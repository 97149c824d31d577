"""Tuning hyperparameters through the solutions of inner problems."""

from .coordinates import Bounded as Bounded
from .coordinates import Fraction as Fraction
from .coordinates import Free as Free
from .coordinates import Positive as Positive
from .criteria import CrossValidation as CrossValidation
from .criteria import HoldOut as HoldOut
from .degrees import Exact as Exact
from .degrees import FiniteDifference as FiniteDifference
from .information import AIC as AIC
from .information import BIC as BIC
from .information import GCV as GCV
from .information import SURE as SURE
from .information import LeaveOneOut as LeaveOneOut
from .result import Accuracy as Accuracy
from .result import Curve as Curve
from .result import Outcome as Outcome
from .result import Stationarity as Stationarity
from .result import Step as Step
from .result import TuneResult as TuneResult
from .search import Optax as Optax
from .search import QuasiNewton as QuasiNewton
from .spread import Spread as Spread
from .tighten import tighten as tighten
from .tune import tune as tune
