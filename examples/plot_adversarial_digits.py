"""
Training against the worst of many images
=========================================

A classifier of digits loses most of its accuracy when the images move by half a pixel. Here it is trained against the
worst move: ``min over weights of max over y of g(weights, y)``, where ``y`` holds for every image a mixture of its
moves, the projection of ``y_i`` on the simplex. The inner maximum is found by looking at every move. The outer steps
are those of the ridge method, ``icg.optim.ridge_method``: elements ``(v, 0)`` of the conservative gradient of ``g``,
with the zero checked at every step, on reshuffled mini-batches with step sizes that vanish as slowly as the theory
asks.
"""

import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

import implicitcg as icg

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(images))
images, labels = (images[order] / 16).astype(np.float32), labels[order]
MOVES = [(0, 0), *[(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]]
padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
views = np.stack([padded[:, 1 + i : 9 + i, 1 + j : 9 + j].reshape(-1, 64) for i, j in MOVES], axis=1)
views = (views + views[:, :1]) / 2  # half a pixel: the mean of the image and its neighbour
TRAIN, BATCH, EPOCHS = 1280, 64, 40


def network(seed, sizes=(64, 64, 10)):
    """Weights at the usual scale."""
    random = np.random.default_rng(seed)
    return [
        (jnp.asarray(random.normal(size=(m, n)) * (2 / m) ** 0.5, jnp.float32), jnp.zeros(n, jnp.float32))
        for m, n in itertools.pairwise(sizes)
    ]


def losses(weights, x, labels):
    """Cross-entropy of every move of every image."""
    for matrix, bias in weights[:-1]:
        x = jax.nn.relu(x @ matrix + bias)
    matrix, bias = weights[-1]
    scores = jax.nn.log_softmax(x @ matrix + bias)
    return -jnp.take_along_axis(scores, jnp.broadcast_to(labels[:, None, None], (*x.shape[:2], 1)), axis=2)[..., 0]


def g(weights, y, x, labels):
    """The mean over the images of the mixture of their losses."""
    mixture = jax.vmap(icg.projections.simplex)(y)
    return (mixture * losses(weights, x, labels)).sum(1).mean()


@jax.jit
def worst(weights, x, labels):
    """The maximiser: for each image its worst move, far outside the simplex so that the projection stays put."""
    return 10 * jax.nn.one_hot(losses(weights, x, labels).argmax(1), len(MOVES), dtype=jnp.float32)


@jax.jit
def accuracy(weights, x, labels):
    """The share of images that are right as they are, and under every move."""
    right = jnp.stack([losses(weights, x, labels * 0 + digit) for digit in range(10)]).argmin(0) == labels[:, None]
    return right[:, 0].mean(), right.all(1).mean()


def train(value_and_gradient, seed):
    """Stochastic steps of one kind."""
    weights, method = network(seed), optax.sgd(icg.optim.vanishing_steps(0.5, 0.51))
    state, history = method.init(weights), []
    batches = icg.optim.reshuffled(jax.random.key(seed), TRAIN, BATCH, drop_last=True)
    for rows in itertools.islice(batches, EPOCHS * (TRAIN // BATCH)):
        value, gradient = value_and_gradient(weights, views[rows], labels[rows])
        updates, state = method.update(gradient, state)
        weights = optax.apply_updates(weights, updates)
        history.append(float(value))
    return weights, history


@jax.jit
def plain(weights, x, labels):
    """Value and gradient of the loss of the images as they are."""
    return jax.value_and_grad(lambda w: losses(w, x[:, :1], labels).mean())(weights)


ridge = icg.optim.ridge_method(g, worst)
results = {name: train(function, 0) for name, function in (("plain", plain), ("worst move", ridge))}
held_out = jnp.asarray(views[TRAIN:]), jnp.asarray(labels[TRAIN:])
shares = {name: [float(part) for part in accuracy(weights, *held_out)] for name, (weights, _) in results.items()}
for name, (as_they_are, every_move) in shares.items():
    print(f"trained on {name:10s}: {as_they_are:.3f} of the images, {every_move:.3f} under every move")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for (name, (_, history)), colour in zip(results.items(), ("#D55E00", "#0072B2"), strict=True):
    epochs = np.reshape(history, (EPOCHS, -1)).mean(1)
    left.semilogy(range(1, EPOCHS + 1), epochs, color=colour, label=name)
    offset = 0.2 if name == "plain" else -0.2
    right.bar(np.arange(2) - offset, shares[name], 0.38, color=colour)
left.set(xlabel="epoch", ylabel="mean of the loss trained on")
left.legend(frameon=False)
right.set_xticks([0, 1], ["as they are", "under every move"])
right.set(ylabel="accuracy on images held out", ylim=(0, 1))
plt.show()

assert shares["plain"][0] > 0.93 and shares["worst move"][0] > 0.85
assert shares["worst move"][1] > shares["plain"][1] + 0.2
