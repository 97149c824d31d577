"""Several devices, by JAX's own sharding: run in a process of its own, with eight virtual CPU devices."""

import os
import subprocess
import sys

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
jax.config.update("jax_enable_x64", True)
import equinox as eqx
import implicitcg as icg

mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
rng = np.random.default_rng(0)
X, y = jnp.asarray(rng.standard_normal((40, 6))), jnp.asarray(rng.standard_normal(40))
theta = jnp.linspace(-4.0, -1.0, 16)

def loss(X, theta):
    return jnp.sum(icg.solve(icg.lasso(X, y, jnp.exp(theta))).value ** 2)

by_theta = jax.jit(jax.vmap(jax.grad(loss, 1), (None, 0)))
expected = by_theta(X, theta)
by_batch = jax.device_put(theta, NamedSharding(mesh, P("batch")))
sharded = by_theta(X, by_batch)
assert len(sharded.sharding.device_set) == 8
np.testing.assert_allclose(sharded, expected, atol=1e-13)

spread = dict(mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
mapped = jax.shard_map(jax.vmap(lambda t: jax.grad(loss, 1)(X, t)), **spread)
np.testing.assert_allclose(mapped(by_batch), expected, atol=1e-13)

by_row = jax.device_put(X, NamedSharding(mesh, P("batch", None)))
slope, entries = jax.jit(jax.grad(lambda t, X: loss(X, t), (0, 1)))(theta[5], by_row)
np.testing.assert_allclose(slope, expected[5], atol=1e-13)
# X and alpha times c make w / c: Euler's identity for the slopes by the entries of X, beside that by log(alpha)
w = icg.solve(icg.lasso(X, y, jnp.exp(theta[5]))).value
np.testing.assert_allclose(jnp.sum(entries * X) + slope, -2 * jnp.sum(w**2), atol=1e-12)

# layers: weights on every device, samples spread
layer = icg.deq.MonotoneDEQ(3, 5, modulus=0.9, tolerance=1e-6, key=jax.random.key(0))  # few steps: devices meet in each
x = jnp.asarray(rng.standard_normal((16, 3)))
spread_x = jax.device_put(x, NamedSharding(mesh, P("batch", None)))
weights, still = eqx.partition(layer, eqx.is_inexact_array)

def mean(weights, x):
    model = eqx.combine(weights, still)
    solution = jax.vmap(lambda x: model.solve(x, throw=False))(x)
    return icg.deq.mean_converged(jnp.sum(jnp.sin(solution.value), 1), solution)

slopes = jax.jit(jax.grad(mean))
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), slopes(weights, spread_x), slopes(weights, x))
each = jax.shard_map(jax.vmap(lambda x: layer.solve(x, throw=False).value), **spread)(spread_x)
np.testing.assert_allclose(each, jax.vmap(layer)(x), atol=1e-12)

try:
    jax.shard_map(jax.vmap(lambda t: loss(X, t)), **spread)(
        by_batch.at[3].set(jnp.nan)
    ).block_until_ready()
except Exception as error:
    assert "non-finite" in str(error) or "NaN" in str(error), error
else:
    raise AssertionError("a bad number on one device passed in silence")
print("same on eight devices")
"""


def test_a_batch_or_the_rows_spread_over_eight_devices_give_the_same_result():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "same on eight devices"
