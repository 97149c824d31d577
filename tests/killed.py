"""A checkpointed search killed at random moments by the system, again and again, then run to its end.

    python tests/killed.py path|descent KILLS

Every attempt is a forked process, so that Python and JAX are imported once, and is killed after it has written a
checkpoint of its own.
"""

import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import implicitcg as icg
from implicitcg.tuning.search import checkpoint

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((120, 240))
y = X[:, :20] @ RANDOM.standard_normal(20) + RANDOM.standard_normal(120)


def run(kind: str, file: Path) -> dict[str, np.ndarray]:
    """One search from its beginning or from the checkpoint."""
    checkpoint.INTERVAL = 0.0  # written after every evaluation and every stage
    if kind == "path":
        criterion = icg.tuning.CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t)), X, y, cv=5)
        found = icg.tune(criterion, 0.0, checkpoint=file, progress=False)
        return {"theta": np.asarray(found.theta), "value": np.asarray(found.value), "knots": np.asarray(found.knots)}
    criterion = icg.tuning.CrossValidation(
        lambda X, y, t: icg.elastic_net(X, y, jnp.exp(t[0]), jnp.exp(t[1])), X[:60, :10], y[:60], cv=2
    )
    found = icg.tune(criterion, jnp.array([-1.0, -1.0]), checkpoint=file, progress=False, max_solves=80)
    return {"theta": np.asarray(found.theta), "value": np.asarray(found.value)}


def forked(kind: str, file: Path, out: Path, patience: float = 600.0) -> tuple[bool, float]:
    """Run in a child process that writes its result to `out`; kill it `patience` seconds after its first checkpoint.

    Returns whether it ended by itself, and how long it lived after that checkpoint: before it comes the compilation.
    """
    child, old = os.fork(), written(file)
    if child == 0:
        np.savez(out, **run(kind, file))
        os._exit(0)
    begin = None
    while begin is None or time.monotonic() < begin + patience:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True, 0.0 if begin is None else time.monotonic() - begin
        if begin is None and written(file) != old:
            begin = time.monotonic()
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, patience


def written(file: Path) -> int:
    """When a file was written last, 0 if it does not exist."""
    return file.stat().st_mtime_ns if file.exists() else 0


def main(kind: str, kills: int) -> None:
    """Print how many attempts were killed, and fail where the result differs in any bit."""
    warnings.simplefilter("ignore")  # JAX warns of forks; nothing of it has been started here
    folder = Path(tempfile.mkdtemp())
    _, length = forked(kind, folder / "unused.npz", folder / "whole.npz")
    file = folder / "checkpoint.npz"
    killed = attempts = 0
    while killed < kills and attempts < 10 * kills:
        ended, _ = forked(kind, file, folder / "part.npz", float(RANDOM.uniform(0.0, 0.5)) * length)
        killed, attempts = killed + (not ended), attempts + 1
        if ended:
            file.unlink()  # begin again
    forked(kind, file, folder / "resumed.npz")
    whole, resumed = np.load(folder / "whole.npz"), np.load(folder / "resumed.npz")
    for name in whole.files:
        np.testing.assert_array_equal(whole[name], resumed[name])
    assert killed == kills, f"only {killed} of {attempts} attempts lived long enough to be killed"
    print(f"{killed} of {attempts} attempts killed after a checkpoint; the same result")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
