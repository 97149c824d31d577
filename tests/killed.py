"""A checkpointed search killed at random moments by the system, again and again, then run to its end.

    python tests/killed.py path|descent KILLS

Every attempt is a forked process, so that Python and JAX are imported once; with a compilation cache
(`JAX_COMPILATION_CACHE_DIR`) the search itself is most of what is killed.
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
from implicitcg.tuning import checkpoint, path_checkpoint

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((120, 240))
y = X[:, :20] @ RANDOM.standard_normal(20) + RANDOM.standard_normal(120)


def run(kind: str, file: Path | None) -> dict[str, np.ndarray]:
    """One search from its beginning or from the checkpoint."""
    checkpoint.INTERVAL = path_checkpoint.INTERVAL = 0.0  # written after every evaluation and every stage
    if kind == "path":
        criterion = icg.tuning.CrossValidation(lambda X, y, t: icg.lasso(X, y, jnp.exp(t)), X, y, cv=5)
        found = icg.tune(criterion, 0.0, checkpoint=file, progress=False)
        return {"theta": np.asarray(found.theta), "value": np.asarray(found.value), "knots": np.asarray(found.knots)}
    criterion = icg.tuning.CrossValidation(
        lambda X, y, t: icg.elastic_net(X, y, jnp.exp(t[0]), jnp.exp(t[1])), X[:60, :10], y[:60], cv=2
    )
    found = icg.tune(criterion, jnp.array([-1.0, -1.0]), checkpoint=file, progress=False, max_solves=80)
    return {"theta": np.asarray(found.theta), "value": np.asarray(found.value)}


def forked(kind: str, file: Path | None, out: Path, patience: float | None) -> bool:
    """Run in a child process that writes its result to `out`; kill it after `patience` seconds. Whether it ended."""
    child = os.fork()
    if child == 0:
        np.savez(out, **run(kind, file))
        os._exit(0)
    deadline = time.monotonic() + (600 if patience is None else patience)
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main(kind: str, kills: int) -> None:
    """Print how many attempts were killed, and fail where the result differs in any bit."""
    warnings.simplefilter("ignore")  # JAX warns of forks; nothing of it has been started here
    folder = Path(tempfile.mkdtemp())
    for _ in range(2):  # the second run has the programs that the first one compiled
        begin = time.monotonic()
        forked(kind, None, folder / "whole.npz", None)
        length = time.monotonic() - begin
    killed = 0
    file = folder / "checkpoint.npz"
    sizes = []
    while killed < kills and len(sizes) < 10 * kills:
        ended = forked(kind, file, folder / "part.npz", float(RANDOM.uniform(0.2, 1.0)) * length)
        killed += not ended
        sizes.append(file.stat().st_size if file.exists() else 0)
        if ended:
            file.unlink()  # begin again
    forked(kind, file, folder / "resumed.npz", None)
    whole, resumed = np.load(folder / "whole.npz"), np.load(folder / "resumed.npz")
    for name in whole.files:
        np.testing.assert_array_equal(whole[name], resumed[name])
    left = sum(size > 0 for size in sizes)
    print(f"{killed} of {len(sizes)} attempts killed, {left} left a checkpoint; the same result")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
