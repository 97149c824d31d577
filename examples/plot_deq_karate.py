"""
A graph layer at equilibrium: who joins whom
============================================

In a graph network of ``k`` layers a node hears of nodes at most ``k`` edges away. An *implicit* graph layer has no such
horizon: its state is the equilibrium of one message-passing step,

    Z = relu(A Z W + F U + b),

with the normalised adjacency matrix ``A`` of norm 1 and ``||W|| <= 0.9``, so that the step is a contraction: there is
one equilibrium, and no choice at a kink makes its derivative singular. The state is a matrix, one row a node.

The graph is Zachary's karate club, which split in two. Only the instructor (node 0) and the administrator (node 33) are
labelled; the layer learns to tell which side everybody else took.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import implicitcg as icg
from implicitcg import deq

DATA = Path(globals().get("__file__", "plot_deq_karate.py")).with_name("karate_club.csv")  # the manual runs here
lines = [line for line in DATA.read_text().splitlines() if line[0] != "#"]
edges = np.array([line.split(",") for line in lines[:-1]], int)
side = np.array(lines[-1].split(","), int)
NODES, WIDTH, BOUND = len(side), 8, 0.9

links = np.eye(NODES)
links[edges[:, 0], edges[:, 1]] = links[edges[:, 1], edges[:, 0]] = 1
degrees = links.sum(1)
A = jnp.asarray(links / np.sqrt(degrees[:, None] * degrees[None, :]))
features = jnp.eye(NODES)  # who is who, and nothing else


class Step(eqx.Module):
    """One step of message passing; ``W`` is kept below its bound by power iteration."""

    W: jax.Array
    U: jax.Array
    b: jax.Array

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.W = jax.random.normal(first, (WIDTH, WIDTH)) / WIDTH**0.5
        self.U = 0.1 * jax.random.normal(second, (NODES, WIDTH))
        self.b = jnp.zeros(WIDTH)

    def __call__(self, Z, A, F):
        return jax.nn.relu(A @ Z @ deq.spectrally_normalised(self.W, BOUND) + F @ self.U + self.b)


key = jax.random.key(3)
methods = {"solver": icg.solvers.FixedPointIteration(1e-6), "adjoint": icg.adjoints.Anderson(1e-6)}
layer = deq.DEQ(Step(key), jnp.zeros((NODES, WIDTH)), **methods)
model = (layer, eqx.nn.Linear(WIDTH, 2, key=key))

# %%
# Training is ordinary: the gradient comes from the equilibrium, whatever solved for it. The weights say whose scores
# count; the same compiled function tells below what those scores hang on.


def weighted(model_and_features, weights):
    """A weighted sum of log-probabilities, with the probabilities and the solution."""
    (layer, readout), features = model_and_features
    solution = layer.solve(A, features)
    logs = jax.nn.log_softmax(jax.vmap(readout)(solution.value))
    return jnp.sum(weights * logs), (jnp.exp(logs), solution)


gradient_of = eqx.filter_jit(eqx.filter_value_and_grad(weighted, has_aux=True))
optimiser = optax.adamw(1e-2, weight_decay=1e-2)


@eqx.filter_jit
def updated(model, state, gradient):
    """One step of Adam."""
    parameters = eqx.filter(model, eqx.is_array)
    change, state = optimiser.update(gradient, state, parameters)
    return eqx.apply_updates(model, change), state


labels = jnp.zeros((NODES, 2)).at[0, 0].set(-0.5).at[33, 1].set(-0.5)  # cross-entropy over the two
state, history = optimiser.init(eqx.filter(model, eqx.is_array)), []
for _ in range(200):
    (value, _), (gradient, _) = gradient_of((model, features), labels)
    model, state = updated(model, state, gradient)
    history.append(float(value))

# %%
# How far does a node hear? The derivative of node 0's score by every other node's features, through the equilibrium,
# against the distance in the graph. It falls with the distance but does not end at any.

(_, (probabilities, solution)), (_, slopes) = gradient_of((model, features), jnp.zeros((NODES, 2)).at[0, 0].set(1.0))
found = np.asarray(probabilities)[:, 1]
right = (found > 0.5) == (side == 1)
print(f"{right.sum()} of {NODES} on the right side; loss {history[0]:.3f} to {history[-1]:.3f}")
print(f"equilibrium in {solution.iterations} steps, residual {float(solution.residual):.1e}")

influence = np.linalg.norm(np.asarray(slopes), axis=1)  # one row of features a node
distance = np.full(NODES, -1)
reached, frontier = np.zeros(NODES, bool), np.arange(NODES) == 0
for steps in range(NODES):
    distance[frontier & ~reached] = steps
    reached |= frontier
    frontier = (links @ reached > 0) & ~reached

_, vectors = np.linalg.eigh(np.diag(degrees) - links)
place = vectors[:, 1:3]
figure, (left, middle) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for a, b in edges:
    left.plot(*place[[a, b]].T, color="0.8", linewidth=0.8, zorder=0)
dots = left.scatter(*place.T, c=found, cmap="coolwarm", vmin=0, vmax=1, edgecolors=np.where(right, "0.4", "black"))
left.set(xticks=[], yticks=[], title="probability of the administrator's side")
figure.colorbar(dots, ax=left)
middle.semilogy(distance, influence, "o")
middle.set(xlabel="distance from node 0", ylabel="influence on its score", title="nobody is too far away")
middle.set_xticks(range(distance.max() + 1))

assert right.sum() >= 31 and bool(solution.converged)
assert influence[distance == distance.max()].min() > 0 and distance.max() >= 3
