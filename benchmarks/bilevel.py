"""Tuning several hyperparameters: an elastic net against a grid and Optuna, and a thousand penalties over ten seeds.

    python benchmarks/bilevel.py [net] [weighted]

`net`: the squared error over five folds of diabetes with quadratic features, in the penalty and the share of the l1
norm. Every contender's choice is judged by one function, solved to a gap of 1e-10. The grid has 50 x 50 points along
scikit-learn's warm-started paths; Optuna has as many trials as `icg.tune` evaluated points.
`weighted`: 150 rows, 1000 features, 12 of them informative, unit noise; penalties chosen on 150 held-out rows, and the
error on 2000 new rows. CPU seconds of the process, compilation included.
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
from sklearn.linear_model import ElasticNet, enet_path
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import implicitcg as icg

jax.config.update("jax_enable_x64", True)
warnings.simplefilter("ignore")


def net() -> None:
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(PolynomialFeatures(2, include_bias=False).fit_transform(X))
    folds = icg.tuning.CrossValidation(
        lambda X, y, t: icg.elastic_net(X, y, t["alpha"], t["share"], fit_intercept=True), X, y, cv=5
    )
    judge = jax.jit(lambda alpha, share: folds({"alpha": alpha, "share": share}))
    highest = float(np.max(np.abs(X.T @ (y - y.mean()))) / len(y))

    def search():
        return icg.tune(
            folds,
            {"alpha": 0.1 * highest, "share": 0.9},
            transforms={"alpha": icg.tuning.Positive(), "share": icg.tuning.Free()},
            bounds={"alpha": (1e-3 * highest, 20 * highest), "share": (0.02, 1.0)},
            starts=6,
            max_solves=1000,
            progress=False,
        )

    def grid():
        ratios, errors = np.linspace(0.02, 1, 50), np.zeros((50, 50))
        alphas = [highest / ratio * np.geomspace(1, 1e-3, 50) for ratio in ratios]
        for fold in folds.folds:
            centre, level = X[fold.train].mean(0), y[fold.train].mean()
            columns = np.asfortranarray(X[fold.train] - centre)
            for i, ratio in enumerate(ratios):
                _, coefs, _ = enet_path(columns, y[fold.train] - level, l1_ratio=ratio, alphas=alphas[i])
                predictions = (X[fold.test] - centre) @ coefs + level
                errors[i] += np.mean(np.square(predictions - y[fold.test][:, None]), axis=0)
        i, j = np.unravel_index(np.argmin(errors), errors.shape)
        return alphas[i][j], ratios[i]

    rows = []
    for name in ("icg.tune, cold", "icg.tune, warm"):
        begin = time.process_time()
        found = search()
        rows.append((name, time.process_time() - begin, float(found.theta["alpha"]), float(found.theta["share"])))
    spent = found.solves
    begin = time.process_time()
    rows.append(("grid 50 x 50", *_after(begin, grid())))
    try:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)

        def objective(trial):
            alpha = trial.suggest_float("alpha", 1e-3 * highest, 20 * highest, log=True)
            model = ElasticNet(alpha, l1_ratio=trial.suggest_float("share", 0.02, 1.0))
            fits = ((model.fit(X[f.train], y[f.train]), f) for f in folds.folds)
            return np.mean([np.mean(np.square(fitted.predict(X[f.test]) - y[f.test])) for fitted, f in fits])

        begin = time.process_time()
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        study.optimize(objective, n_trials=spent // 5)
        rows.append(("Optuna, same solves", *_after(begin, (study.best_params["alpha"], study.best_params["share"]))))
    except ImportError as error:
        print(f"Optuna skipped: {error}")
    print(f"{'':<20} {'CPU s':>8} {'alpha':>9} {'share':>7} {'CV error':>12}     ({spent} solves, {found.status})")
    for name, seconds, alpha, share in rows:
        print(f"{name:<20} {seconds:8.2f} {alpha:9.4g} {share:7.4f} {float(judge(alpha, share)):12.6f}", flush=True)


def _after(begin: float, found: tuple[float, float]) -> tuple[float, float, float]:
    return time.process_time() - begin, float(found[0]), float(found[1])


def weighted() -> None:
    n, p = 150, 1000
    truth = np.zeros(p)
    truth[:12] = np.where(np.arange(12) % 2, -1, 1) * np.linspace(2, 0.6, 12)
    solve = jax.jit(lambda X, y, a: icg.solve(icg.lasso(X, y, a)).value)
    table = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        X = random.standard_normal((2 * n + 2000, p))
        y = X @ truth + random.standard_normal(len(X))
        criterion = icg.tuning.HoldOut(lambda a, X=X, y=y: icg.lasso(X[:n], y[:n], a), X[n : 2 * n], y[n : 2 * n])
        single = icg.tune(criterion, 0.1, transforms=icg.tuning.Positive(), progress=False)
        c = float(single.theta)
        many = icg.tune(
            criterion,
            jnp.full(p, c),
            transforms=icg.tuning.Positive(),
            bounds=(c / 50, 5 * c),
            max_solves=40,
            progress=False,
        )
        both = (jnp.full(p, c), many.theta)
        errors = [float(np.mean(np.square(X[2 * n :] @ solve(X[:n], y[:n], a) - y[2 * n :]))) for a in both]
        table.append([single.value, many.value, *errors])
        print("seed {}: hold-out {:.3f} -> {:.3f}, new data {:.3f} -> {:.3f}".format(seed, *table[-1]), flush=True)
    mean = np.mean(table, axis=0)
    wins = np.mean(np.array(table)[:, 3] < np.array(table)[:, 2])
    print("mean:   hold-out {:.3f} -> {:.3f}, new data {:.3f} -> {:.3f}".format(*mean), f"lower on {wins:.0%}")


def main(names: list[str]) -> int:
    tasks = {"net": net, "weighted": weighted}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}), one BLAS thread, "
        f"Python {platform.python_version()}, jax {jax.__version__}, scikit-learn {sklearn.__version__}\n"
    )
    for name in names or list(tasks):
        tasks[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
