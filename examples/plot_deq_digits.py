"""
Equilibrium layers on handwritten digits
========================================

A layer whose output is the equilibrium ``z = s(W z + U x + b)`` can reach a good accuracy without ever being at
equilibrium: the accuracy does not show it, and the gradient is then that of something else. So every epoch below tells
the share of samples that converged and how many steps they took, and the gradient is checked against differences.

Two layers of 40 units are trained: a *monotone* one, whose ``W`` has exactly one equilibrium for every input whatever
training makes of it, and a *free* one with ``tanh``, which nothing but a Jacobian penalty keeps solvable.
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from rich.live import Live
from rich.table import Table
from sklearn.datasets import load_digits

import implicitcg as icg
from implicitcg import deq

jax.config.update("jax_enable_x64", True)
X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
X, y = X[order] / 16, y[order]
WIDTH, BATCH, EPOCHS = 40, 60, 4
rows = np.arange(1797 // BATCH * BATCH).reshape(-1, BATCH)  # in batches: the first twenty are for training
TRAIN, TEST = rows[:20], rows[20:]


class FreeCell(eqx.Module):
    """``tanh(W z + U x)``: nothing bounds ``W``."""

    state: eqx.nn.Linear
    input: eqx.nn.Linear

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.state, self.input = eqx.nn.Linear(WIDTH, WIDTH, key=first), eqx.nn.Linear(64, WIDTH, key=second)

    def __call__(self, z, x):
        return jnp.tanh(self.state(z) + self.input(x))


# %%
# Samples that fail keep a status and their best point; ``mean_converged`` leaves them out of the loss. One compiled
# function serves for training, for testing and for the check of its gradient.


def loss(model, x, y, key):
    """Cross-entropy over the samples that converged; for the free layer also a penalty on the Jacobian of its cell."""
    layer, readout = model
    solution = jax.vmap(lambda x: layer.solve(x, throw=False))(x)
    scores = jax.vmap(readout)(solution.value)
    value = deq.mean_converged(optax.softmax_cross_entropy_with_integer_labels(scores, y), solution)
    if isinstance(layer, deq.DEQ):
        value += 0.02 * deq.jacobian_penalty(lambda z: jax.vmap(layer.cell)(z, x), solution.value, key)
    return value, (jnp.mean(jnp.argmax(scores, 1) == y), deq.statistics(solution), solution.value)


optimiser = optax.adam(5e-3)
gradient_of = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))


@eqx.filter_jit
def updated(model, state, gradient):
    """One step of Adam."""
    change, state = optimiser.update(gradient, state)
    return eqx.apply_updates(model, change), state


# %%
# A table that grows with every epoch, live in a terminal.

table = Table("layer", "epoch", "accuracy", "converged", "steps", "most", "seconds")


def trained(name, layer):
    """The model after training, its test accuracy, and the least share converged in any batch."""
    model = (layer, eqx.nn.Linear(WIDTH, 10, key=jax.random.key(1)))
    state, least, key = optimiser.init(eqx.filter(model, eqx.is_array)), 1.0, jax.random.key(0)
    for epoch in range(EPOCHS):
        began, shuffled = (
            time.perf_counter(),
            np.random.default_rng(epoch).permutation(TRAIN.ravel()).reshape(-1, BATCH),
        )
        logged = []
        for k, batch in enumerate(shuffled):
            (_, (_, found, _)), gradient = gradient_of(model, X[batch], y[batch], jax.random.fold_in(key, k))
            model, state = updated(model, state, gradient)
            logged.append(found)
        accuracy = np.mean([gradient_of(model, X[batch], y[batch], key)[0][1][0] for batch in TEST])
        least = min(least, *(float(f.share_converged) for f in logged))
        steps, most = np.mean([f.iterations_mean for f in logged]), max(int(f.iterations_max) for f in logged)
        seconds = f"{time.perf_counter() - began:.1f}"
        table.add_row(name, f"{epoch + 1}", f"{accuracy:.3f}", f"{least:.0%}", f"{steps:.1f}", f"{most}", seconds)
    return model, accuracy, least


with Live(table):
    monotone, monotone_accuracy, monotone_share = trained(
        "monotone", deq.MonotoneDEQ(64, WIDTH, tolerance=1e-8, key=jax.random.key(0))
    )
    anderson = {"solver": icg.solvers.Anderson(1e-8), "adjoint": icg.adjoints.Anderson(1e-8)}
    free, free_accuracy, free_share = trained(
        "free", deq.DEQ(FreeCell(jax.random.key(0)), jnp.zeros(WIDTH), **anderson)
    )

# %%
# The gradient of the trained monotone model along a random direction, against central differences, and what may be
# claimed of its equilibria on the test set:

parameters, rest = eqx.partition(monotone, eqx.is_array)
flat, unravel = jax.flatten_util.ravel_pytree(parameters)
direction = np.random.default_rng(2).standard_normal(flat.shape) / np.sqrt(flat.size)


def at(t):
    """The loss of a batch on the line, and its gradient."""
    (value, _), gradient = gradient_of(
        eqx.combine(unravel(flat + t * direction), rest), X[TRAIN[0]], y[TRAIN[0]], jax.random.key(0)
    )
    return float(value), jax.flatten_util.ravel_pytree(gradient)[0]


slope, difference = float(at(0.0)[1] @ direction), (at(1e-4)[0] - at(-1e-4)[0]) / 2e-4
print(f"slope {slope:.8f}, by differences {difference:.8f}")
certificate = deq.certify(monotone[0], jnp.asarray(X[TEST.ravel()]))
print(certificate)

# %%
# Left, how the residual of one sample falls in the trained monotone layer: splitting must converge, whatever the
# weights; the plain iteration ``z <- s(W z + U x + b)`` may, and is slower. Right, which units are on for the test
# digits, sorted by class. On one pattern the layer is affine, so a Newton step there is exact.

W = np.asarray(monotone[0].map().matrix)
bias = np.asarray(monotone[0].injected(jnp.asarray(X[TEST[0, 0]])))
step = 1.25 / np.sqrt(np.mean(np.sum((np.eye(WIDTH) - W) ** 2, 0)))
V = np.linalg.inv(np.eye(WIDTH) + step * (np.eye(WIDTH) - W))
u, plain, history = np.zeros(WIDTH), np.zeros(WIDTH), []
for _ in range(150):
    z = V @ (u + step * bias)
    image = np.maximum(W @ plain + bias, 0)
    history.append((np.linalg.norm(z - np.maximum(W @ z + bias, 0)), np.linalg.norm(plain - image)))
    u, plain = u + 2 * (np.maximum(2 * z - u, 0) - z), image

z = np.concatenate([gradient_of(monotone, X[batch], y[batch], jax.random.key(0))[0][1][2] for batch in TEST])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.semilogy(history, label=["Peaceman-Rachford splitting", "plain iteration"])
left.set(xlabel="step", ylabel="residual", title="one sample")
left.legend()
classes = np.argsort(y[TEST.ravel()], kind="stable")
right.imshow(z[classes] > 0, aspect="auto", cmap="Greys", interpolation="nearest")
right.set(xlabel="unit", yticks=[], ylabel="test digits, from 0 to 9", title="units that are on")

assert min(monotone_accuracy, free_accuracy) > 0.85 and monotone_share == 1.0 and free_share > 0.9
assert abs(slope - difference) < 1e-6 * max(1, abs(slope)) and certificate.verdict == "certified"
