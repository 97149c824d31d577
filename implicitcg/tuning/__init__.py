"""Tuning hyperparameters through the solutions of inner problems."""

from .criteria.degrees import Exact as Exact
from .criteria.degrees import FiniteDifference as FiniteDifference
from .criteria.held_out import CrossValidation as CrossValidation
from .criteria.held_out import HoldOut as HoldOut
from .criteria.information import AIC as AIC
from .criteria.information import BIC as BIC
from .criteria.information import GCV as GCV
from .criteria.information import SURE as SURE
from .criteria.information import LeaveOneOut as LeaveOneOut
from .result import Accuracy as Accuracy
from .result import Curve as Curve
from .result import Outcome as Outcome
from .result import Stationarity as Stationarity
from .result import Step as Step
from .result import TuneResult as TuneResult
from .search.coordinates import Bounded as Bounded
from .search.coordinates import Fraction as Fraction
from .search.coordinates import Free as Free
from .search.coordinates import Positive as Positive
from .search.devices import Spread as Spread
from .search.optimisers import Optax as Optax
from .search.optimisers import QuasiNewton as QuasiNewton
from .tighten import tighten as tighten
from .tune import tune as tune
