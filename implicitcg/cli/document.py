"""The model file: everything needed to predict, and to know where the numbers came from, as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .datasets import Data
from .features import Recipe
from .fit import Fit
from .mistakes import Mistake
from .peer import Peer

DOCUMENT_FORMAT = "implicitcg model 1"


def document(
    data: Data, model: str, recipe: Recipe, fit: Fit, peer: Peer | None, *, folds: int, seed: int, dtype: str
) -> dict[str, Any]:
    """Plain numbers, names and lists that describe a tuned model; numbers that are not finite become null."""
    search = fit.search
    left, right = search.one_sided_slopes or (math.nan, math.nan)
    stored = {
        "format": DOCUMENT_FORMAT,
        "versions": versions(),
        "data": {
            "name": data.name,
            "rows": len(data.y),
            "features": list(data.features),
            "target": data.target,
            **({"also": list(data.also)} if data.also else {}),
        },
        "model": model,
        "dtype": dtype,
        "alpha": fit.alpha,
        "hyperparameters": fit.hyperparameters,
        "intercept": fit.intercept if fit.tasks is None else fit.tasks.intercepts.tolist(),
        "coefficients": fit.coef.tolist() if fit.tasks is None else fit.tasks.coefs.tolist(),
        "support": [recipe.terms[j] for j in fit.support],
        "features": recipe.to_json(),
        "cross_validation": {
            "folds": folds,
            "seed": seed,
            "error": float(search.value),
            "standard_error": float(search.standard_error),
            "fold_errors": None if search.fold_values is None else np.asarray(search.fold_values, float).tolist(),
            "slope_left": float(left),
            "slope_right": float(right),
            "stationarity": search.stationarity.verdict,
            "outcome": search.status.name,
            "reason": search.reason,
            "scope": search.scope,
            "notes": list(search.notes),
            "solves": int(search.solves),
            "seconds": float(search.seconds),
        },
        "seconds_on_all_rows": fit.seconds,
        "certificate": dataclasses.asdict(fit.certificate),
        "scikit_learn": None if peer is None else dataclasses.asdict(peer),
    }
    return _finite(stored)


def text(stored: dict[str, Any]) -> str:
    """The document as JSON text."""
    return json.dumps(stored, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    found = {name: installed(name) for name in ("implicitcg", "jax", "numpy", "scikit-learn")}
    return {**found, "python": platform.python_version()}


def installed(name: str) -> str:
    """The version of a package; a checkout that is only on the path has none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def predictions(stored: dict[str, Any], X: NDArray[np.float64]) -> NDArray[np.float64]:
    """`intercept + design(X) coef` for rows whose columns are the recipe's inputs; for classes the probability of 1.

    Of shape `(n,)`, or `(n, t)` for several targets.
    """
    recipe = Recipe.from_json(stored["features"])
    score = np.asarray(stored["intercept"], float) + recipe.apply(X) @ np.asarray(stored["coefficients"], float).T
    return expit(score) if stored["model"] == "sparse_logistic" else score


def read_document(path: str) -> dict[str, Any]:
    """The model file at `path`.

    Raises:
        Mistake: missing, unreadable, or not written by this command.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Mistake(f"{path} does not exist. Write a model file with: implicitcg tune ... --out {path}") from None
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise Mistake(f"{path} is not JSON. The model file comes first, then the data: {USAGE}") from None
    if not isinstance(stored, dict) or stored.get("format") != DOCUMENT_FORMAT:
        raise Mistake(
            f"{path} is not a model file of this version ({DOCUMENT_FORMAT!r}). "
            "Write one with: implicitcg tune ... --out"
        )
    try:
        recipe = Recipe.from_json(stored["features"])
        inputs, terms = len(recipe.inputs), len(recipe.factors)
        tasks = np.shape(stored["intercept"])
        shapes = (recipe.first.mean.shape, recipe.second.mean.shape, np.shape(stored["coefficients"]))
        if shapes != ((inputs,), (terms,), (*tasks, terms)) or not np.isfinite(stored["intercept"]).all():
            raise ValueError
        if tasks not in ((), (1 + len(stored["data"].get("also", [])),)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Mistake(f"{path} is damaged: its features and coefficients do not fit together. Write it anew.") from None
    return stored


USAGE = "implicitcg predict MODEL.json DATA.csv"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
