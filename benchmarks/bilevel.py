"""Tuning several hyperparameters: an elastic net against a grid and Optuna, and a thousand penalties over ten seeds.

    python benchmarks/bilevel.py [net] [cubic] [weighted]

`net`: the squared error over five folds of diabetes with quadratic features (`cubic`: cubic), in the penalty and the
share of the l1 norm. Every contender's choice is judged by one function, at exact solutions. The grids have 50 x 50
points: along warm-started paths (`ElasticNetCV`), or one cold fit each (`GridSearchCV`).
`weighted`: 1000 features, 12 of them informative, unit noise, 300 rows, ten seeds: penalties chosen by holding out one
half, by five folds, and by SURE with the noise known; the error on 2000 new rows. Hold-out fits 150 rows, the others
all 300. All penalties are free, or made by three numbers from a first LASSO (an adaptive LASSO whose numbers are
tuned). At most 40 evaluations of a criterion (of every fold). CPU seconds of the process, compilation included.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import sklearn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, ElasticNetCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import implicitcg as icg
from implicitcg.tuning.exact.path import LassoPath

EVALUATIONS = 40  # of a criterion in a thousand penalties, or in three numbers

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("ignore")


def features(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Diabetes with products of up to `degree` features."""
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(PolynomialFeatures(degree, include_bias=False).fit_transform(X)), y


def net(degree: int = 2) -> None:
    """One elastic net in two numbers, by ours, two grids of scikit-learn and Optuna."""
    X, y = features(degree)
    folds = list(KFold(5).split(X))
    ratios = np.linspace(0.02, 1, 50)
    highest = float(np.max(np.abs(X.T @ (y - y.mean()))) / len(y))
    alphas = highest * np.geomspace(20, 1e-3, 50)

    def judge(alpha: float, share: float) -> float:
        """The error over the folds at exact solutions, by the path with the ridge."""
        losses = []
        for train, test in folds:
            ridge, c = alpha * (1 - share), alpha * share
            path = LassoPath(X[train], y[train], np.ones(X.shape[1]), True, ridge)
            coef = path.advance(min(c, path.c_max))[-1].coef
            losses.append(np.mean(np.square((X[test] - path.x_mean) @ coef + path.y_mean - y[test])))
        return float(np.mean(losses))

    def ours():
        found = icg.sklearn.GradientElasticNetCV(cv=folds).fit(X, y)
        return found.alpha_, found.l1_ratio_

    def paths():
        found = ElasticNetCV(l1_ratio=ratios, alphas=50, cv=folds).fit(X, y)
        return found.alpha_, found.l1_ratio_

    def search():
        grid = {"alpha": alphas, "l1_ratio": ratios}
        found = GridSearchCV(ElasticNet(), grid, cv=folds, scoring="neg_mean_squared_error").fit(X, y)
        return found.best_params_["alpha"], found.best_params_["l1_ratio"]

    def study():
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)

        def objective(trial):
            alpha = trial.suggest_float("alpha", alphas[-1], alphas[0], log=True)
            model = ElasticNet(alpha, l1_ratio=trial.suggest_float("share", 0.02, 1.0))
            fits = ((model.fit(X[f], y[f]).predict(X[t]), t) for f, t in folds)
            return np.mean([np.mean(np.square(prediction - y[t])) for prediction, t in fits])

        found = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        found.optimize(objective, n_trials=300)
        return found.best_params["alpha"], found.best_params["share"]

    contenders = {
        "GradientElasticNetCV, cold": ours,
        "GradientElasticNetCV, warm": ours,
        "ElasticNetCV 50 x 50": paths,
        "Optuna, 300 trials": study,
        **({"GridSearchCV 50 x 50": search} if degree < 3 else {}),
    }
    print(f"degree {degree}: {X.shape[1]} features")
    print(f"{'':<28} {'CPU s':>8} {'ratio':>7} {'alpha':>9} {'share':>7}   CV error")
    first = None
    for name, run in contenders.items():
        begin = time.process_time()
        try:
            alpha, share = run()
        except ImportError as error:
            print(f"{name:<28} skipped: {error}")
            continue
        seconds = time.process_time() - begin
        first = seconds if first is None else first
        print(
            f"{name:<28} {seconds:8.2f} {seconds / first:7.1f} {alpha:9.4g} {share:7.4f} {judge(alpha, share):12.6f}",
            flush=True,
        )


def lasso(X, y, penalties):
    return icg.lasso(X, y, penalties)


def adaptive(X, y, theta):
    """A penalty per feature from three numbers: `level / (|w| + soft)`, with `w` the LASSO of the penalty `first`."""
    first = icg.solve(icg.lasso(X, y, theta["first"]), throw=False).value
    return icg.lasso(X, y, theta["level"] / (jnp.abs(first) + theta["soft"]))


def weighted() -> None:
    """A penalty per feature against one for all, by hold-out, five folds and SURE; errors on new data."""
    n, p, seeds = 150, 1000, 10
    truth = np.zeros(p)
    truth[:12] = np.where(np.arange(12) % 2, -1, 1) * np.linspace(2, 0.6, 12)
    solvers = {model: jax.jit(lambda X, y, a, model=model: icg.solve(model(X, y, a)).value) for model in MODELS}
    rows, half, new = slice(2 * n), slice(n), slice(2 * n, None)
    table: dict[str, list] = {}
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        X = random.standard_normal((2 * n + 2000, p))
        y = X @ truth + random.standard_normal(len(X))
        data = X[rows], y[rows]

        def sure(model, *degrees, data=data):
            return icg.tuning.SURE(model, *data, 1.0, *degrees)

        def folds(model, cv=5, data=data):
            return icg.tuning.CrossValidation(model, *data, cv=cv)

        smooth = icg.tuning.FiniteDifference()
        split = [(np.arange(n), np.arange(n, 2 * n))]  # as one fold, so that all seeds share the program
        cells = {
            "hold-out": (folds(lasso, split), folds(lasso, split), lasso, half),
            "5 folds": (folds(lasso), folds(lasso), lasso, rows),
            "SURE": (sure(lasso), sure(lasso, smooth), lasso, rows),
            "5 folds, 3 numbers": (folds(lasso), folds(adaptive), adaptive, rows),
            "SURE, 3 numbers": (sure(lasso), sure(adaptive, smooth), adaptive, rows),
        }
        for name, (one, criterion, model, used) in cells.items():
            begin = time.process_time()
            single = icg.tune(one, 0.1, transforms=icg.tuning.Positive(), progress=False)
            c, spread = float(single.theta), jnp.full(p, float(single.theta))
            start = spread if model is lasso else {"first": c, "level": 0.3 * c, "soft": 0.3}
            many = icg.tune(
                criterion,
                start,
                transforms=icg.tuning.Positive(),
                bounds=(c / 50, 5 * c) if model is lasso else (1e-3, 10.0),
                max_solves=EVALUATIONS * len(criterion.folds),
                progress=False,
            )
            fits = solvers[lasso](X[used], y[used], spread), solvers[model](X[used], y[used], many.theta)
            errors = [float(np.mean(np.square(X[new] @ w - y[new]))) for w in fits]
            # SURE of one penalty is exact along its path, of many by differences, so only errors compare
            table.setdefault(name, []).append([single.value, many.value, *errors])
            line = "seed {} {:<18} criterion {:.3f} -> {:.3f}, new data {:.3f} -> {:.3f}"
            seconds = time.process_time() - begin
            print(line.format(seed, name, *table[name][-1]), f"({many.solves} solves, {seconds:.1f} CPU s)", flush=True)
    for name, found in table.items():
        mean, wins = np.mean(found, axis=0), np.mean(np.array(found)[:, 3] < np.array(found)[:, 2])
        line = "mean   {:<18} criterion {:.3f} -> {:.3f}, new data {:.3f} -> {:.3f}"
        print(line.format(name, *mean), f"lower on {wins:.0%}")


MODELS = (lasso, adaptive)


def main(names: list[str]) -> int:
    tasks = {"net": net, "cubic": lambda: net(3), "weighted": weighted}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}), one BLAS thread, "
        f"Python {platform.python_version()}, jax {jax.__version__}, scikit-learn {sklearn.__version__}\n"
    )
    for name in names or list(tasks):
        tasks[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
