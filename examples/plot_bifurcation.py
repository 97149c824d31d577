"""
How often does relu'(0) matter?
===============================

At zero the derivative of relu may be anything between 0 and 1. In exact arithmetic no network in training ever sits on
such a point. In floating point it does: numbers of a short format cancel exactly, and then the gradient that reverse
mode returns depends on a convention. Here the share of mini-batches for which it does is counted, by precision, width
and depth, for random relu networks on 8 x 8 images of handwritten digits.

``icg.nonsmooth.with_ties(loss, 0.0)`` and ``with_ties(loss, 1.0)`` are the same loss with the two extreme
conventions; their gradients agree on a mini-batch exactly when no entry of the network lies on a kink that matters.
What this does to training is on the page :doc:`plot_relu_training`.
"""

import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from implicitcg import nonsmooth

images, labels = load_digits(return_X_y=True)
BATCH, BATCHES = 32, 32
order = np.random.default_rng(0).permutation(len(images))[: BATCH * BATCHES]
X = images[order].reshape(BATCHES, BATCH, 64) / 16
y = labels[order].reshape(BATCHES, BATCH)


def network(width, depth, dtype, seed=0):
    """Weights and biases of a relu network, at the usual scale for its width."""
    sizes = [64] + [width] * depth + [10]
    random = np.random.default_rng(seed)
    return [
        (
            jnp.asarray(random.normal(size=(m, n)) * (2 / m) ** 0.5, dtype),
            jnp.asarray(random.uniform(-1, 1, size=n) / m**0.5, dtype),
        )
        for m, n in itertools.pairwise(sizes)
    ]


def loss(weights, x, labels):
    """Cross-entropy of one mini-batch."""
    for matrix, bias in weights[:-1]:
        x = jax.nn.relu(x @ matrix + bias)
    matrix, bias = weights[-1]
    scores = jax.nn.log_softmax(x @ matrix + bias)
    return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()


@jax.jit
def depends_on_the_convention(weights, x, labels):
    """For each mini-batch, whether the gradient with relu'(0) = 0 differs from that with relu'(0) = 1."""
    low, high = (jax.grad(nonsmooth.with_ties(loss, {"relu": tie})) for tie in (0.0, 1.0))

    def differs(x, labels):
        gradients = jax.tree.leaves(low(weights, x, labels)), jax.tree.leaves(high(weights, x, labels))
        return jnp.stack([jnp.any(a != b) for a, b in zip(*gradients, strict=True)]).any()

    return jax.lax.map(lambda batch: differs(*batch), (x, labels))


# %%
# One count for each precision, width and depth.

PRECISIONS = {"bfloat16": jnp.bfloat16, "float16": jnp.float16, "float32": jnp.float32}
WIDTHS, DEPTHS = (16, 64, 128), (1, 2, 4)
share = {
    name: np.array(
        [
            [
                depends_on_the_convention(network(w, d, dtype), jnp.asarray(X, dtype), jnp.asarray(y)).mean()
                for w in WIDTHS
            ]
            for d in DEPTHS
        ],
        dtype=float,
    )
    for name, dtype in PRECISIONS.items()
}
for name, table in share.items():
    print(f"{name}: {100 * table.min():.0f} to {100 * table.max():.0f} % of the mini-batches")

# %%
# The shorter the format, the more often the convention decides; wider and deeper networks have more entries that may
# cancel. In float32 it hardly ever happens.

figure, panels = plt.subplots(1, 3, figsize=(8, 2.8), sharey=True, layout="constrained")
for panel, (name, table) in zip(panels, share.items(), strict=False):
    picture = panel.imshow(100 * table, origin="lower", vmin=0, vmax=100, cmap="cividis")
    panel.set_title(name, fontsize=10)
    panel.set_xticks(range(len(WIDTHS)), WIDTHS)
    panel.set_yticks(range(len(DEPTHS)), DEPTHS)
    panel.set_xlabel("width")
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            panel.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color="w" if value < 0.6 else "k")
panels[0].set_ylabel("hidden layers")
figure.colorbar(picture, ax=panels, label="mini-batches whose gradient\ndepends on relu'(0), in %", shrink=0.9)
plt.show()

assert share["bfloat16"].mean() > share["float16"].mean() > share["float32"].mean()
assert share["float32"].max() < 0.1
