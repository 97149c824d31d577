"""Criteria that need no held-out rows: the fit to all rows, corrected by how strongly it follows them."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import ArrayLike, Float

from ...core import AbstractProblem, Solution
from ...solving import solve
from .criterion import AbstractCriterion
from .degrees import AbstractDegrees, Exact, FiniteDifference, leverages
from .folds import Fold
from .held_out import data_of
from .losses import Loss, named, predict, squared

Model = Callable[[Any, Any, Any], AbstractProblem]


class AbstractInformation(AbstractCriterion):
    """A function of the residual sum of squares and the degrees of freedom of the fit to all rows."""

    model: Model
    degrees: AbstractDegrees

    def _take(self, model: Model, X: Any, y: Any, degrees: AbstractDegrees | None, sigma: float | None) -> None:
        if not callable(model):
            raise TypeError(f"`model` must be a function (X, y, theta) -> problem, and is a {type(model).__name__}.")
        self.model = model
        self.X, self.y = data_of(X, y)
        if sigma is not None and not (np.isfinite(sigma) and sigma > 0):
            raise ValueError(f"sigma is {sigma}; it is the standard deviation of the noise, a positive number.")
        degrees = Exact() if degrees is None else degrees
        if not isinstance(degrees, AbstractDegrees):
            raise TypeError(
                "`degrees` must be icg.tuning.Exact() or icg.tuning.FiniteDifference(...), and is a "
                f"{type(degrees).__name__}."
            )
        if isinstance(degrees, FiniteDifference) and degrees.step is None and sigma is not None:
            degrees = FiniteDifference(2 * sigma / self.y.size**0.3, degrees.samples, degrees.seed)
        self.degrees = degrees
        self.of_predictions = isinstance(degrees, Exact)  # their number of features is known along a path
        self.loss = squared
        everything = np.arange(self.y.shape[0])
        self.folds = [Fold(everything, everything)]

    def problem(self, X: Any, y: Any, theta: Any, weights: Any = None) -> AbstractProblem:
        """The model on all rows."""
        del weights
        return self.model(X, y, theta)

    def fold_loss(self, data: tuple[Any, Any], rows: tuple[Any, Any], theta: Any, init: Any, *, throw: bool) -> Any:
        """The criterion and the inner `Solution`."""
        del rows
        X, y = data
        solution: Solution = solve(self.checked_problem(X, y, theta), self.solver, init, throw=throw)
        df, status = self.degrees(lambda y: self.model(X, y, theta), X, y, solution)
        residual_sum = jnp.sum(jnp.square(predict(solution.value, X) - y))
        return self.score(residual_sum, df), eqx.tree_at(lambda s: s.status, solution, status)

    @abc.abstractmethod
    def score(self, residual_sum: Any, df: Any) -> Any:
        """The criterion, increasing in both."""


@final
class SURE(AbstractInformation):
    """Stein's unbiased estimate of `||X w(theta) - E y||^2 / n`: `RSS / n - sigma^2 + 2 sigma^2 df / n`.

    Args:
        model: `(X, y, theta) -> problem`, as for `CrossValidation`.
        X: features `(n, p)`; y: targets `(n,)`, with independent noise of equal variance.
        sigma: the standard deviation of the noise.
        degrees: how `df` is found. `Exact()` (the default) jumps where a feature enters, so its derivative misses what
            the jumps do: right for one hyperparameter, where jumps are searched for. For many of them use
            `FiniteDifference()`, which is continuous.

    Raises:
        ValueError: bad data, a sigma that is not positive.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.sqrt(2.0) * jnp.eye(2), jnp.array([2.0, 0.1])
        >>> sure = icg.tuning.SURE(lambda X, y, alpha: icg.lasso(X, y, alpha), X, y, sigma=0.5)
        >>> round(float(sure(jnp.asarray(0.5))), 4)
        0.255

    Source: Stein 1981; Deledalle et al. 2014, see `icg.tuning.degrees`.
    """

    def __init__(
        self,
        model: Model,
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        sigma: float,
        degrees: AbstractDegrees | None = None,
    ):
        self._take(model, X, y, degrees, sigma)
        self.sigma = float(sigma)

    def score(self, residual_sum: Any, df: Any) -> Any:
        n = self.y.size
        return residual_sum / n + self.sigma**2 * (2 * df / n - 1)


@final
class GCV(AbstractInformation):
    """Generalised cross-validation, `(RSS / n) / (1 - df / n)^2`: no noise level, no folds.

    Infinite where the fit has as many degrees of freedom as samples. Arguments as for `SURE`.

    Source: Golub, Heath, Wahba, Generalized cross-validation as a method for choosing a good ridge parameter, 1979.
    """

    def __init__(
        self,
        model: Model,
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        degrees: AbstractDegrees | None = None,
    ):
        self._take(model, X, y, degrees, None)

    def score(self, residual_sum: Any, df: Any) -> Any:
        n = self.y.size
        room = 1 - df / n
        safe = jnp.where(room > 1e-6, room, 1)
        return jnp.where(room > 1e-6, residual_sum / n / jnp.square(safe), jnp.inf)


class AbstractLikelihood(AbstractInformation):
    """`-2 log likelihood + price df` for Gaussian noise, of known `sigma` or of the maximum-likelihood one."""

    sigma: float | None
    price: float

    def score(self, residual_sum: Any, df: Any) -> Any:
        n = self.y.size
        if self.sigma is None:
            return n * jnp.log(2 * jnp.pi * residual_sum / n) + n + self.price * df
        return n * jnp.log(2 * jnp.pi * self.sigma**2) + residual_sum / self.sigma**2 + self.price * df


@final
class AIC(AbstractLikelihood):
    """Akaike's criterion, `n log(2 pi sigma^2) + RSS / sigma^2 + 2 df`.

    scikit-learn's `LassoLarsIC`, except that an intercept counts as a degree of freedom, which changes no choice.
    Without `sigma` the variance is `RSS / n`; with as many features as samples that has no minimum, so give one.

    Source: Akaike, Information theory and an extension of the maximum likelihood principle, 1973.
    """

    def __init__(
        self,
        model: Model,
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        sigma: float | None = None,
        degrees: AbstractDegrees | None = None,
    ):
        self._take(model, X, y, degrees, sigma)
        self.sigma, self.price = sigma, 2.0


@final
class BIC(AbstractLikelihood):
    """Schwarz's criterion: as `AIC`, with `log(n)` in the place of 2.

    Source: Schwarz, Estimating the dimension of a model, Annals of Statistics 1978.
    """

    def __init__(
        self,
        model: Model,
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        sigma: float | None = None,
        degrees: AbstractDegrees | None = None,
    ):
        self._take(model, X, y, degrees, sigma)
        self.sigma, self.price = sigma, float(np.log(self.y.size))


@final
class LeaveOneOut(AbstractInformation):
    """Leave-one-out cross-validation from one fit: the loss of `y_i - r_i / (1 - h_i)` with leverages `h`.

    Exact for ridge regression, and for the LASSO and the elastic net as long as leaving a row out does not change the
    support; penalties count against the sum over all `n` rows, so `CrossValidation(..., cv=n)` with the same formula
    has `alpha n / (n - 1)` in their place. Arguments as for `CrossValidation`.

    Source: Allen, The relationship between variable selection and data augmentation and a method for prediction, 1974;
    Wang et al., Approximate leave-one-out for fast parameter tuning in high dimensions, ICML 2018.
    """

    def __init__(
        self,
        model: Model,
        X: Float[ArrayLike, "n p"],
        y: Float[ArrayLike, " n"],
        loss: str | Loss = "squared",
    ):
        self._take(model, X, y, None, None)
        self.loss, self.of_predictions = named(loss), False

    def score(self, residual_sum: Any, df: Any) -> Any:
        raise NotImplementedError("LeaveOneOut is no function of the residual sum; call it with a hyperparameter.")

    def fold_loss(self, data: tuple[Any, Any], rows: tuple[Any, Any], theta: Any, init: Any, *, throw: bool) -> Any:
        """The loss of the predictions from the other rows, and the inner `Solution`."""
        del rows
        X, y = data
        solution: Solution = solve(self.checked_problem(X, y, theta), self.solver, init, throw=throw)
        h: Array = leverages(lambda y: self.model(X, y, theta), X, y, solution)
        residual = y - predict(solution.value, X)
        return self.loss(y - residual / (1 - h), y), solution
