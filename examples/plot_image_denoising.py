r"""
Total variation with a strength for every pixel
===============================================

Total variation denoising with one strength blurs fine detail where it must be strong enough for the sky. Here every
pixel of an image gets its own,

.. math:: \min_u \tfrac12 \|u - y\|^2 + \sum_e \lambda_e \, h((D u)_e),

with :math:`e` the edges between neighbouring pixels, :math:`\lambda_e` the mean of the strengths of its two ends, and
:math:`h` the absolute value, rounded off below differences of :math:`\varepsilon \lambda_e`. Without the rounding the
image would be the same to that order, but the multipliers of the edges around a flat patch would not be unique.
The strengths are learnt from one noisy copy of the image, and judged on another, with fresh noise.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

side, rounding = 10, 1e-2
photo = load_sample_image("china.jpg").mean(axis=2) / 255
clean = photo[112:192, 256:336].reshape(side, 8, side, 8).mean(axis=(1, 3))
random = np.random.default_rng(0)
teaching, fresh = (clean + 0.08 * random.standard_normal(clean.shape) for _ in range(2))

index = np.arange(side**2).reshape(side, side)
across, down = (index[:, :-1], index[:, 1:]), (index[:-1], index[1:])
pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in (across, down)])
D = np.zeros((len(pairs), side**2))
D[np.arange(len(pairs)), pairs[:, 0]], D[np.arange(len(pairs)), pairs[:, 1]] = -1, 1

# %%
# In its dual the problem is a strongly convex quadratic in the multipliers of the edges, in a box:
# ``u = y - D.T q``, ``|q| <= lambda``. Its solution is the fixed point of a projected gradient step.

curvature = D @ D.T + rounding * np.eye(len(D))


def step(q, limits, target):
    """A projected gradient step; no edge has more than eight units of curvature."""
    return jnp.clip(q - (curvature @ q - target) / 8.1, -limits, limits)


@jax.jit
def denoised(strengths, noisy):
    """The image for strengths by pixel, or one for all."""
    limits = jnp.broadcast_to(strengths, (side**2,))[pairs].mean(axis=1)
    return noisy - D.T @ icg.solve(icg.fixed_point(step, limits, D @ noisy)).value


def error(strengths, noisy=teaching):
    """The mean squared error against the clean image."""
    return jnp.mean(jnp.square(denoised(strengths, noisy.ravel()) - clean.ravel()))


options = {"transforms": icg.tuning.Positive()}
one = icg.tune(error, 0.05, bounds=(1e-3, 1.0), max_solves=15, **options)
many = icg.tune(error, jnp.full(side**2, one.theta), bounds=(1e-3, 1.0), max_solves=25, **options)
print(many)

# %%
# What it buys on the copy that it has not seen.

on_fresh = [float(error(result.theta, fresh)) for result in (one, many)]
noise = np.mean(np.square(fresh - clean))
print(f"error on fresh noise: {on_fresh[0]:.5f} with one strength, {on_fresh[1]:.5f} with one per pixel ({noise:.5f})")

figure, axes = plt.subplots(1, 5, figsize=(12, 2.8), layout="constrained")
pictures = {
    "clean": clean,
    "noisy": fresh,
    "one strength": denoised(one.theta, fresh.ravel()).reshape(side, side),
    "one per pixel": denoised(many.theta, fresh.ravel()).reshape(side, side),
}
for ax, (name, picture) in zip(axes, pictures.items(), strict=False):
    ax.imshow(picture, cmap="gray", vmin=clean.min(), vmax=clean.max())
    ax.set_title(name, fontsize=10)
shown = axes[-1].imshow(np.log10(np.asarray(many.theta)).reshape(side, side), cmap="cividis")
axes[-1].set_title("strength", fontsize=10)
figure.colorbar(shown, ax=axes[-1], label="log10", shrink=0.8)
for ax in axes:
    ax.set_axis_off()

assert many.value < one.value
assert on_fresh[1] < on_fresh[0]
