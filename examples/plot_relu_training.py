"""
Training with another relu'(0)
==============================

The same network, the same mini-batches, the same starting weights: three runs that differ only in the derivative of
relu at zero, 0, 1/2 or 1. In exact arithmetic they are one run, since no entry ever sits on the kink. Trained in
float16 and bfloat16 entries do cancel exactly, the runs part early, and which of them is the better one is luck. In
float32 they part late or never. The convention is a matter of precision, not of mathematics.
"""

import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import implicitcg as icg

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(images))
X, y = images[order] / 16, labels[order]
TRAIN, BATCH, EPOCHS, RATE = 960, 32, 6, 0.1
TIES = np.array([0.0, 0.5, 1.0])

batches = icg.optim.reshuffled(jax.random.key(0), TRAIN, BATCH, drop_last=True)
rows = jnp.asarray(np.stack(list(itertools.islice(batches, EPOCHS * TRAIN // BATCH))))


def network(dtype, sizes=(64, 32, 32, 10)):
    """Weights at the usual scale, biases zero."""
    random = np.random.default_rng(1)
    return [
        (jnp.asarray(random.normal(size=(m, n)) * (2 / m) ** 0.5, dtype), jnp.zeros(n, dtype))
        for m, n in itertools.pairwise(sizes)
    ]


def scores(weights, x, tie):
    """The network, with `relu'(0) = tie`."""
    for matrix, bias in weights[:-1]:
        x = icg.nonsmooth.relu(x @ matrix + bias, tie=tie)
    matrix, bias = weights[-1]
    return jax.nn.log_softmax(x @ matrix + bias)


@jax.jit
def training(weights, x, labels, ties):
    """For each tie the weights after every epoch, flat."""

    def run(tie):
        def loss(weights, rows):
            return -jnp.take_along_axis(scores(weights, x[rows], tie), labels[rows, None], 1).mean()

        def step(weights, rows):
            slopes = jax.grad(loss)(weights, rows)
            return jax.tree.map(lambda w, g: (w - RATE * g).astype(w.dtype), weights, slopes), None

        def epoch(weights, rows):
            weights = jax.lax.scan(step, weights, rows)[0]
            return weights, weights

        return jax.lax.scan(epoch, weights, rows.reshape(EPOCHS, -1, BATCH))[1]

    return jax.vmap(run)(ties)


@jax.jit
def guessed(history, x):
    """For each tie the classes of `x` after the last epoch."""
    return jax.vmap(lambda weights: scores(weights, x, 0.0).argmax(1))(jax.tree.map(lambda w: w[:, -1], history))


distances, accuracies = {}, {}
for dtype in ("float16", "bfloat16", "float32"):
    x = jnp.asarray(X[:TRAIN], dtype)
    history = training(network(dtype), x, jnp.asarray(y[:TRAIN]), jnp.asarray(TIES, dtype))
    flat = np.concatenate([np.asarray(w, float).reshape(3, EPOCHS, -1) for w in jax.tree.leaves(history)], 2)
    distances[dtype] = np.linalg.norm(flat - flat[:1], axis=2) / np.linalg.norm(flat[:1], axis=2)
    guesses = np.asarray(guessed(history, jnp.asarray(X[TRAIN:], dtype)))
    accuracies[dtype] = (guesses == y[TRAIN:]).mean(1).tolist()
    print(f"{dtype:9s} accuracy {np.round(accuracies[dtype], 3)}, weights apart {distances[dtype][1:, -1].round(6)}")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
colours = {"float16": "#E69F00", "bfloat16": "#D55E00", "float32": "#0072B2"}
for dtype, colour in colours.items():
    for i, style in ((1, ":"), (2, "-")):
        distance = np.maximum(distances[dtype][i], 1e-9)
        left.semilogy(range(1, EPOCHS + 1), distance, style, color=colour, label=dtype if i == 2 else None)
    right.plot(TIES, accuracies[dtype], "o-", color=colour)
left.set(xlabel="epoch", ylabel="distance of the weights from\nthe run with relu'(0) = 0, relative")
left.legend(frameon=False, fontsize=8)
right.set(xlabel="relu'(0)", ylabel="accuracy on digits held out")
plt.show()

assert min(distances["float16"][2, -1], distances["bfloat16"][2, -1]) > 1e-4
assert distances["float32"][1:, -1].max() < 0.1 * distances["float16"][2, -1]
assert min(min(row) for row in accuracies.values()) > 0.85
