"""One search on the devices there are; run by tests/test_tuning_devices.py in processes of their own.

python tests/spread_search.py eight
python tests/spread_search.py joined ADDRESS RANK
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
JOINED = __name__ == "__main__" and sys.argv[1] == "joined"  # the tests import this too
if JOINED:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=int(sys.argv[3]))

import implicitcg as icg  # noqa: E402

RANDOM = np.random.default_rng(0)
X, y = RANDOM.standard_normal((24, 3)), RANDOM.standard_normal(24)


def step(w, theta, X, y):
    """A proximal gradient step of a LASSO: its fixed point by Newton's method compiles in a second."""
    moved = w - 0.3 * X.T @ (X @ w - y) / len(y)
    return icg.prox.l1(moved, 0.3 * jnp.exp(theta))


def model(X, y, theta):
    """One penalty per feature."""
    return icg.fixed_point(step, theta, X, y)


FOLDS = icg.tuning.CrossValidation(model, X, y, cv=2)
START, OPTIONS = jnp.array([-2.0, -1.0, -1.5]), {"max_solves": 24, "bounds": (-4.0, 0.0), "progress": False}


def loss(theta, part):
    """The error on the last rows of a data set, of the fit to its first ones."""
    w = icg.solve(model(part["X"][:5], part["y"][:5], theta)).value
    return jnp.mean(jnp.square(part["X"][5:] @ w - part["y"][5:]))


def main():
    """Print the end of the search to full precision; on eight devices compare it with that on one."""
    mesh = jax.make_mesh((jax.device_count(),), ("parts",))
    found = icg.tune(FOLDS, START, starts=3, mesh=mesh, **OPTIONS)
    if JOINED:
        assert jax.process_count() == 2 and mesh.size == 2
    else:
        assert mesh.size == 8
        parts = {"X": np.stack([X[i::3] for i in range(3)]), "y": np.stack([y[i::3] for i in range(3)])}
        spread = jax.jit(jax.value_and_grad(icg.tuning.Spread(loss, parts, mesh)))(START)
        each = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(START, jax.tree.map(jnp.asarray, parts))
        for one, several in zip(spread, each, strict=True):
            np.testing.assert_allclose(one, np.mean(several, axis=0), atol=1e-13)
    print(found.value.hex(), found.solves, *[float(t).hex() for t in found.theta])


if __name__ == "__main__":
    main()
