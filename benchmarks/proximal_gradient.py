"""The LASSO against jaxopt's proximal gradient method: the value and the derivative of a hold-out loss.

    python benchmarks/proximal_gradient.py

200x5000, correlation .5, at alpha_max / 10, as in `lasso.py`; both compiled before; CPU milliseconds, medians of
alternating runs in one process.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from lasso import exact_slope, gap, hold_out, medians, simulated, strongest


def main() -> int:
    try:
        import jaxopt
    except ImportError:
        print("jaxopt is not installed: skipped")
        return 0
    X, y = simulated(200, 5000, 0.5)
    alpha = 0.1 * strongest(X, y)
    at, t = (jnp.asarray(X), jnp.asarray(y), (jnp.asarray(X[:50]), jnp.asarray(y[:50]))), jnp.log(alpha)
    smooth = lambda w, data: jnp.mean(jnp.square(data[1] - data[0] @ w)) / 2  # noqa: E731
    solver = jaxopt.ProximalGradient(smooth, jaxopt.prox.prox_lasso, maxiter=20000, tol=1e-8)

    def other(t: Any, X: Any, y: Any, rows: Any) -> tuple[Any, Any]:
        w = solver.run(jnp.zeros(X.shape[1]), hyperparams_prox=jnp.exp(t), data=(X, y)).params
        return jnp.mean(jnp.square(rows[1] - rows[0] @ w)), w

    programs = {
        name: jax.jit(jax.value_and_grad(loss, has_aux=True)) for name, loss in (("icg", hold_out), ("jaxopt", other))
    }
    times = medians({name: lambda run=run: jax.block_until_ready(run(t, *at)) for name, run in programs.items()}, 3)
    print("\nValue and derivative of a hold-out loss, 200x5000, correlation .5, alpha_max / 10:\n")
    print("| | CPU ms | gap | error of the derivative |\n|---|---|---|---|")
    exact = None
    for name, run in programs.items():
        (_, w), derivative = run(t, *at)
        w = np.asarray(w)
        if exact is None:
            exact = -2 * np.mean((y[:50] - X[:50] @ w) * (X[:50] @ exact_slope(X, alpha, w)))
        print(f"| {name} | {times[name]:.3g} | {gap(X, y, alpha, w):.0e} | {abs(float(derivative) / exact - 1):.0e} |")
    print(f"\njaxopt takes {times['jaxopt'] / times['icg']:.0f} times as long.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
