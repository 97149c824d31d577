"""Tuning one penalty: the search over every piece of the path against grids and peers, same folds, same loss.

    python benchmarks/tuning.py [diabetes] [quadratic] [cubic] [simulated] [net] [net-cubic] [weighted] [--only NAMES]

`net`, `net-cubic` and `weighted` are the searches over two and a thousand hyperparameters of benchmarks/bilevel.py.
Optuna has as many solves as the exact path had pieces, or 500 where that is less; Optax makes 20 steps of Adam on
jaxopt's derivatives of five folds, or those that fit into 40 CPU seconds after the first (`points` says how many).
`--only "icg.tune;celer 100"` runs those contenders and no others.

Each contender runs in a process of its own, so that compilation and first-use costs count in the column `cold`; `warm`
is a second run in the same process; both in CPU seconds. `excess` is the cross-validation error above the lowest one
known (that of the exact search), relative to it, after solving again at the chosen alpha to 1e-10: a loose solver is
not credited with a value that the problem does not have.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

GRIDS = ("LassoCV 100", "LassoCV 1000", "LassoCV 1000, tol 1e-6", "LassoLarsCV", "celer 100")
CONTENDERS = ("icg.tune", *GRIDS, "GridSearchCV 100", "Optuna", "jaxopt, Optax")
STEPS, SECONDS = 20, 40.0  # of Adam on jaxopt's derivatives, at most
TRIALS = {442 * 10: 16}  # a fifth of the pieces; elsewhere there are more than 500
DATA = ("diabetes", "quadratic", "cubic", "simulated")


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "simulated":
        random = np.random.default_rng(0)
        X = random.standard_normal((200, 5000))
        for j in range(1, 5000):
            X[:, j] = 0.9 * X[:, j - 1] + np.sqrt(1 - 0.81) * X[:, j]
        w = np.zeros(5000)
        w[random.choice(5000, 20, replace=False)] = 1
        return X, X @ w + 0.5 * random.standard_normal(200)
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    X, y = load_diabetes(return_X_y=True)
    degree = {"diabetes": 1, "quadratic": 2, "cubic": 3}[name]
    return StandardScaler().fit_transform(PolynomialFeatures(degree, include_bias=False).fit_transform(X)), y


def contender(name: str):
    """A function `(X, y) -> (alpha, number of points)`; importing it is not part of the time."""
    if name == "icg.tune":
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        import implicitcg as icg

        def model(X, y, theta):
            return icg.lasso(X, y, jnp.exp(theta), fit_intercept=True)

        def run(X, y):
            result = icg.tune(icg.tuning.CrossValidation(model, X, y, cv=5), float(np.log(0.1)))
            return float(np.exp(float(result.theta))), result.solves

        return run
    if name == "LassoLarsCV":
        from sklearn.linear_model import LassoLarsCV

        def run(X, y):
            fitted = LassoLarsCV(cv=5).fit(X, y)
            return fitted.alpha_, len(fitted.cv_alphas_)

        return run
    if name.startswith("celer"):  # its own LassoCV does not load with scikit-learn 1.9, so the folds are walked here
        from celer import celer_path
        from sklearn.model_selection import KFold

        def run(X, y):
            alphas = np.max(np.abs((X - X.mean(0)).T @ (y - y.mean()))) / len(y) * np.geomspace(1, 1e-3, 100)
            errors = np.zeros(100)
            for train, test in KFold(5).split(X):
                centre, level = X[train].mean(0), y[train].mean()
                columns = np.asfortranarray(X[train] - centre)
                _, coefs, _ = celer_path(columns, y[train] - level, pb="lasso", alphas=alphas, tol=1e-4)
                errors += np.mean(((X[test] - centre) @ coefs + level - y[test][:, None]) ** 2, axis=0) / 5
            return alphas[np.argmin(errors)], 100

        return run
    if name.startswith("GridSearchCV"):
        from sklearn.linear_model import Lasso
        from sklearn.model_selection import GridSearchCV, KFold

        def run(X, y):
            top = np.max(np.abs((X - X.mean(0)).T @ (y - y.mean()))) / len(y)
            grid = {"alpha": top * np.geomspace(1, 1e-3, 100)}
            search = GridSearchCV(Lasso(max_iter=10_000), grid, cv=KFold(5), scoring="neg_mean_squared_error")
            return search.fit(X, y).best_params_["alpha"], 100

        return run
    if name == "Optuna":
        import optuna
        from sklearn.linear_model import Lasso
        from sklearn.model_selection import KFold

        optuna.logging.set_verbosity(optuna.logging.ERROR)

        def run(X, y):
            top = np.max(np.abs((X - X.mean(0)).T @ (y - y.mean()))) / len(y)

            def objective(trial):
                model = Lasso(trial.suggest_float("alpha", 1e-3 * top, top, log=True), max_iter=10_000)
                fits = ((model.fit(X[f], y[f]).predict(X[t]), t) for f, t in KFold(5).split(X))
                return np.mean([np.mean((prediction - y[t]) ** 2) for prediction, t in fits])

            study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
            study.optimize(objective, n_trials=min(TRIALS.get(len(y) * X.shape[1], 100), 100))
            return study.best_params["alpha"], len(study.trials)

        return run
    if name == "jaxopt, Optax":
        import jax
        import jax.numpy as jnp
        import jaxopt
        import optax
        from sklearn.model_selection import KFold

        jax.config.update("jax_enable_x64", True)

        def run(X, y):
            least_squares = jaxopt.objective.least_squares
            solver = jaxopt.BlockCoordinateDescent(least_squares, jaxopt.prox.prox_lasso, tol=1e-6, maxiter=1000)
            folds = [tuple(map(jnp.asarray, (X[f] - X[f].mean(0), y[f] - y[f].mean(), X[t] - X[f].mean(0),
                                             y[t] - y[f].mean()))) for f, t in KFold(5).split(X)]  # fmt: skip

            @jax.jit
            def judged(theta, init, fold):
                w = solver.run(init, jnp.exp(theta), data=fold[:2]).params
                return jnp.mean((fold[2] @ w - fold[3]) ** 2), w

            slope = jax.jit(jax.value_and_grad(judged, has_aux=True))
            theta = jnp.log(0.1 * np.max(np.abs((X - X.mean(0)).T @ (y - y.mean()))) / len(y))
            adam, inits, seen = optax.adam(0.3), [jnp.zeros(X.shape[1])] * 5, []
            state, begin = adam.init(theta), time.process_time()
            while len(seen) < STEPS and (not seen or time.process_time() - begin < SECONDS):
                found = [slope(theta, init, fold) for init, fold in zip(inits, folds, strict=True)]
                inits = [w for (_, w), _ in found]
                seen.append((float(np.mean([value for (value, _), _ in found])), float(jnp.exp(theta))))
                update, state = adam.update(jnp.mean(jnp.stack([g for _, g in found])), state)
                theta = optax.apply_updates(theta, update)
            return min(seen)[1], len(seen)

        return run
    from sklearn.linear_model import LassoCV

    points = 1000 if "1000" in name else 100
    tolerance = 1e-6 if "1e-6" in name else 1e-4

    def run(X, y):
        return LassoCV(cv=5, alphas=points, tol=tolerance, max_iter=10_000).fit(X, y).alpha_, points

    return run


def measure(name: str, data: str) -> dict[str, float]:
    warnings.simplefilter("ignore")
    X, y = load(data)
    run = contender(name)
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        alpha, points = run(X, y)
        seconds.append(time.process_time() - begin)
    return {"alpha": float(alpha), "points": int(points), "cold": seconds[0], "warm": seconds[1]}


def error_at(X: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """The mean over five contiguous folds of the squared error, at the exact solution of every fold."""
    from implicitcg.tuning.criteria.folds import split
    from implicitcg.tuning.exact.path import LassoPath

    losses = []
    for train, test in split(5, X, y):
        path = LassoPath(X[train], y[train], np.ones(X.shape[1]), True)
        coef = path.advance(alpha)[-1].coef
        assert path.gap(coef, alpha) < 1e-10
        losses.append(np.mean(((X[test] - path.x_mean) @ coef + path.y_mean - y[test]) ** 2))
    return float(np.mean(losses))


def _row(data, method, *columns) -> str:
    widths = (10, 12, 9, 7, 8, 8)
    return f"{data:<10} {method:<24} " + " ".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True))


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[1] == "--measure":
        print(json.dumps(measure(sys.argv[2], sys.argv[3])))
        return 0
    only = CONTENDERS
    if "--only" in sys.argv:
        at = sys.argv.index("--only")
        wanted = sys.argv[at + 1].split(";")
        only = tuple(name for name in CONTENDERS if name in wanted)
        del sys.argv[at : at + 2]
    others = [name for name in sys.argv[1:] if name in ("net", "net-cubic", "weighted")]
    chosen = [name for name in sys.argv[1:] if name not in others]
    if others:
        import bilevel

        bilevel.main([name.removeprefix("net-") for name in others])
        if not chosen:
            return 0
    chosen = chosen or list(DATA)
    import jax
    import sklearn

    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}), one BLAS thread, "
        f"Python {platform.python_version()}, jax {jax.__version__}, scikit-learn {sklearn.__version__}\n"
    )
    print(_row("data", "method", "alpha", "CV error", "excess", "points", "cold s", "warm s"))
    for data in chosen:
        X, y = load(data)
        best = None
        for name in only:
            done = subprocess.run(
                [sys.executable, __file__, "--measure", name, data], capture_output=True, text=True, timeout=1800
            )
            if done.returncode:
                print(f"{data:<10} {name:<24} skipped: {done.stderr.strip().splitlines()[-1][:70]}")
                continue
            row = json.loads(done.stdout.strip().splitlines()[-1])
            error = error_at(X, y, row["alpha"])
            best = error if best is None else best
            excess = f"{error / best - 1:.1e}"
            times = f"{row['cold']:.2f}", f"{row['warm']:.2f}"
            print(_row(data, name, f"{row['alpha']:.5g}", f"{error:.6f}", excess, row["points"], *times), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
