"""Tuning several hyperparameters: an elastic net against a grid and Optuna, and a thousand penalties over ten seeds.

    python benchmarks/bilevel.py [net] [cubic] [weighted]

`net`: the squared error over five folds of diabetes with quadratic features (`cubic`: cubic), in the penalty and the
share of the l1 norm. Every contender's choice is judged by one function, at exact solutions. The grids have 50 x 50
points: along warm-started paths (`ElasticNetCV`), or one cold fit each (`GridSearchCV`).
`weighted`: 1000 features, 12 of them informative, unit noise, 300 rows: penalties chosen by holding out one half, by
five folds, and by SURE with the noise known; the error on 2000 new rows. Hold-out fits 150 rows, the others all 300.
At most 40 evaluations of a criterion in a thousand penalties (of every fold). CPU seconds of the process, compilation
included.
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
from implicitcg.tuning.homotopy import LassoPath

EVALUATIONS = 40  # of a criterion in a thousand penalties

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


def weighted() -> None:
    """A thousand penalties against one, chosen by hold-out, five folds and SURE; errors on new data."""
    n, p, seeds = 150, 1000, 10
    truth = np.zeros(p)
    truth[:12] = np.where(np.arange(12) % 2, -1, 1) * np.linspace(2, 0.6, 12)
    solve = jax.jit(lambda X, y, a: icg.solve(icg.lasso(X, y, a)).value)

    def model(X, y, a):
        return icg.lasso(X, y, a)

    table = {"hold-out": [], "5 folds": [], "SURE": []}
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        X = random.standard_normal((2 * n + 2000, p))
        y = X @ truth + random.standard_normal(len(X))
        half, rows, new = slice(n), slice(2 * n), slice(2 * n, None)
        smooth = icg.tuning.FiniteDifference()
        criteria = {
            # as one fold, so that the data are no part of the program and all seeds share it
            "hold-out": (
                icg.tuning.CrossValidation(model, X[rows], y[rows], cv=[(np.arange(n), np.arange(n, 2 * n))]),
                half,
            ),
            "5 folds": (icg.tuning.CrossValidation(model, X[rows], y[rows], cv=5), rows),
            "SURE": (icg.tuning.SURE(model, X[rows], y[rows], 1.0, smooth), rows),
        }
        for name, (criterion, used) in criteria.items():
            begin = time.process_time()
            exact = icg.tuning.SURE(model, X[rows], y[rows], 1.0) if name == "SURE" else criterion
            c = float(icg.tune(exact, 0.1, transforms=icg.tuning.Positive(), progress=False).theta)
            single = float(criterion(jnp.full(p, c)))
            many = icg.tune(
                criterion,
                jnp.full(p, c),
                transforms=icg.tuning.Positive(),
                bounds=(c / 50, 5 * c),
                max_solves=EVALUATIONS * len(criterion.folds),
                progress=False,
            )
            errors = [
                float(np.mean(np.square(X[new] @ solve(X[used], y[used], a) - y[new])))
                for a in (jnp.full(p, c), many.theta)
            ]
            table[name].append([single, many.value, *errors])
            print(
                "seed {} {:<9} criterion {:.3f} -> {:.3f}, new data {:.3f} -> {:.3f}".format(
                    seed, name, *table[name][-1]
                ),
                f"({many.solves} solves, {time.process_time() - begin:.1f} s)",
                flush=True,
            )
    for name, rows in table.items():
        mean, wins = np.mean(rows, axis=0), np.mean(np.array(rows)[:, 3] < np.array(rows)[:, 2])
        print(
            "mean   {:<9} criterion {:.3f} -> {:.3f}, new data {:.3f} -> {:.3f}".format(name, *mean),
            f"lower on {wins:.0%}",
        )


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
