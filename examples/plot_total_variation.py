r"""
Denoise a signal by total variation, and tune how much
======================================================

The signal is piecewise constant, and measured with noise. Total variation denoising,

.. math:: \min_u \tfrac12 \|u - y\|^2 + \lambda \sum_i |u_{i+1} - u_i|,

finds plateaus again. It is a composite problem in its dual: with :math:`D` the matrix of differences,
:math:`u = y - D^\top q`, where :math:`q` minimises :math:`\tfrac12 \|y - D^\top q\|^2` over
:math:`-\lambda \le q \le \lambda`: a smooth quadratic and a box. Its solution is differentiated in
:math:`\lambda`, and :math:`\lambda` tuned against the clean signal.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

rng = np.random.default_rng(0)
n = 192
clean = np.repeat(rng.choice([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], 8), n // 8)
noisy = clean + 0.5 * rng.standard_normal(n)
D = np.diff(np.eye(n), axis=0)


def dual(strength):
    """The dual problem, in the multipliers of the differences."""
    loss = icg.penalties.DualQuadratic(jnp.asarray(D), jnp.asarray(D @ noisy), jnp.ones(n - 1))
    return icg.composite(loss, icg.penalties.BoxedL1(jnp.zeros(()), -strength, strength))


@jax.jit
def denoised(log_strength):
    """The value of the dual problem is ``D.T q``."""
    return noisy - icg.solve(dual(jnp.exp(log_strength))).value


# %%
# The error against the clean signal is a function of the strength, whose derivative passes through the solution.


def error(log_strength):
    """The mean squared error against the clean signal."""
    return jnp.mean(jnp.square(denoised(log_strength) - clean))


result = icg.tune(error, jnp.log(0.3), progress=False)
best = jnp.asarray(result.theta)
u, slope = jax.jvp(denoised, (best,), (1.0,))
certificate = icg.certify(dual(jnp.exp(best)), icg.solve(dual(jnp.exp(best))))
print(f"strength {float(jnp.exp(best)):.3f}, mean squared error {float(result.value):.4f}, of the noise 0.25")
print(certificate)

# %%
# Every plateau moves as a whole: its derivative is the number of its borders that pull at it, with their signs, over
# its length.

fig, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, layout="constrained", height_ratios=[2, 1])
above.plot(noisy, ".", color="0.75", ms=4, label="measured")
above.plot(clean, color="0.3", lw=1, label="clean")
above.step(np.arange(n), u, color="C0", where="mid", lw=1.8, label="denoised")
above.legend(fontsize=8)
above.set_title("total variation, tuned through its solution")
below.step(np.arange(n), slope, color="C1", where="mid")
below.set(xlabel="position", ylabel="derivative in log(strength)")

jumps = np.flatnonzero(np.abs(np.diff(u)) > 1e-9)
borders = np.concatenate([[0], jumps + 1, [n]])
signs = np.concatenate([[0.0], np.sign(np.diff(u)[jumps]), [0.0]])
exact = np.concatenate(
    [
        np.full(end - start, (after - before) / (end - start))
        for start, end, before, after in zip(borders[:-1], borders[1:], signs[:-1], signs[1:], strict=True)
    ]
)
assert np.allclose(slope, float(jnp.exp(best)) * exact, atol=1e-9)
assert certificate.verdict == "certified" and float(result.value) < 0.05
