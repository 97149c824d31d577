"""Large dense designs in float32: time, derivative and memory of one LASSO with 1e8 entries.

    python benchmarks/scale.py

Each shape runs in a process of its own. `run` is by how much the resident size of that process grew at its peak while
the compiled program ran, in units of `X` (400 MB): a hidden copy of `X` would be 1. `temporaries` is XLA's account of
the same. The peak of the whole process includes `X` twice (NumPy's and JAX's), the libraries and the compiler. Data:
Gaussian, a response from 20 features with noise, seed 0; alpha_max / 10. Linux only.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable

SHAPES = ((100_000, 1_000), (1_000, 100_000))
LIMIT = 8 * 2**30


def peak() -> int:
    """Bytes, since the process began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident(which: str) -> int:
    """Bytes now (`VmRSS`), or at the peak since the mark was reset (`VmHWM`)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {which} on this system")


def growth(run: Callable[[], object]) -> int:
    """By how many bytes the process grew at its peak while `run` ran."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the mark
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def measure(n: int, p: int) -> dict[str, float]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    import implicitcg as icg

    def fit(log_alpha, X, y):
        return icg.solve(icg.lasso(X, y, jnp.exp(log_alpha))).value

    def hold_out(log_alpha, X, y, X_val, y_val):
        return jnp.mean(jnp.square(X_val @ fit(log_alpha, X, y) - y_val))

    # the libraries are loaded and their threads started before the data are
    jax.block_until_ready(jax.jit(fit)(-1.0, jnp.eye(3), jnp.ones(3)))
    generator = np.random.default_rng(0)
    X = np.empty((n, p), np.float32)
    for start in range(0, n, 1000):
        X[start : start + 1000] = generator.standard_normal((min(1000, n - start), p), np.float32)
    w = np.zeros(p, np.float32)
    w[generator.choice(p, 20, replace=False)] = 1
    y = X @ w + 2 * generator.standard_normal(n, np.float32)
    alpha_max = np.abs(y @ X).max() / n
    size = X.nbytes
    device_X, y = jnp.asarray(X), jnp.asarray(y)
    X_val, y_val = device_X[:100], y[:100]
    log_alpha = jnp.log(jnp.float32(alpha_max / 10))

    found: dict[str, float] = {"n": n, "p": p, "X_MB": size / 1e6}
    programs = {
        "value": jax.jit(fit).lower(log_alpha, device_X, y),
        "value_and_grad": jax.jit(jax.value_and_grad(hold_out)).lower(log_alpha, device_X, y, X_val, y_val),
    }
    arguments = {"value": (log_alpha, device_X, y), "value_and_grad": (log_alpha, device_X, y, X_val, y_val)}
    for name, lowered in programs.items():
        begin = time.perf_counter()
        compiled = lowered.compile()
        found[f"{name}_compile_s"] = time.perf_counter() - begin
        found[f"{name}_temporaries_in_X"] = compiled.memory_analysis().temp_size_in_bytes / size
        times, results = [], []

        def run(call=compiled, inputs=arguments[name], times=times, results=results) -> None:
            begin = time.perf_counter()
            results.append(jax.block_until_ready(call(*inputs)))
            times.append(time.perf_counter() - begin)

        found[f"{name}_run_in_X"] = growth(run) / size
        run()
        found[f"{name}_s"] = min(times)
        if name == "value":
            found["support"] = int(np.count_nonzero(results[0]))
    found["peak_GiB"] = peak() / 2**30
    return found


def main(arguments: list[str]) -> int:
    if arguments:
        print(json.dumps(measure(*map(int, arguments))))
        return 0
    rows = []
    for n, p in SHAPES:
        done = subprocess.run([sys.executable, __file__, str(n), str(p)], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            return 1
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    print(f"\n{os.cpu_count()} cores; command: python {' '.join(sys.argv)}\n")
    print("| n x p | support | value | value and gradient | compile | run, in X | temporaries, in X | peak |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            f"{row['n']} x {row['p']}",
            f"{row['support']}",
            f"{row['value_s']:.2f} s",
            f"{row['value_and_grad_s']:.2f} s",
            f"{row['value_compile_s']:.1f} s",
            f"{row['value_and_grad_run_in_X']:.2f}",
            f"{row['value_and_grad_temporaries_in_X']:.2f}",
            f"{row['peak_GiB']:.2f} GiB",
        ]
        print(f"| {' | '.join(cells)} |")
    return int(any(row["peak_GiB"] * 2**30 > LIMIT for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
