"""`choose` is the identity, with derivative zero, under every transformation."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, PartitionSpec

from implicitcg.nonsmooth import choose, choose_order, choose_simplex


@jax.custom_jvp
def relu(x):
    return jnp.maximum(x, 0)


@relu.defjvp
def _(primals, tangents):
    ((x,), (t,)) = primals, tangents
    return relu(x), choose((x > 0).astype(x.dtype), jnp.abs(x), name="relu") * t


x = jnp.array([-1.0, 0.0, 2.0])
slope = jnp.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "derivative",
    [
        jax.grad(lambda x: relu(x).sum()),
        jax.jit(jax.grad(lambda x: relu(x).sum())),
        jax.vmap(jax.grad(relu)),
        jax.grad(lambda x: jax.vmap(relu)(x).sum()),
        lambda x: jax.jvp(relu, (x,), (jnp.ones(3),))[1],
        lambda x: jnp.diagonal(jax.jacrev(relu)(x)),
        jax.grad(lambda x: jax.lax.scan(lambda c, a: (c + relu(a), None), 0.0, x)[0]),
        jax.grad(lambda x: jax.lax.cond(x[2] > 0, lambda: relu(x), lambda: x).sum()),
        jax.grad(lambda x: jax.checkpoint(relu)(x).sum()),
    ],
    ids=["grad", "jit", "vmap of grad", "grad of vmap", "jvp", "jacrev", "scan", "cond", "remat"],
)
def test_a_choice_passes_every_transformation(derivative):
    assert derivative(x).tolist() == slope.tolist()


def test_a_choice_has_no_second_derivative():
    assert (jax.hessian(lambda x: relu(x).sum())(x) == 0).all()


def test_a_choice_passes_shard_map():
    mesh = Mesh(jax.devices()[:1], ("devices",))
    spec = PartitionSpec("devices")
    mapped = jax.shard_map(jax.vmap(jax.grad(relu)), mesh=mesh, in_specs=spec, out_specs=spec)
    assert jax.jit(mapped)(x).tolist() == slope.tolist()


def test_a_batch_keeps_the_axis_of_candidates_last():
    weights = jnp.eye(3)
    chosen = jax.vmap(lambda w: choose_simplex(w, 1 - w, name="max"), in_axes=1, out_axes=1)(weights)
    assert (chosen == weights).all()
    orders = jnp.arange(3)
    chosen = jax.vmap(lambda gap: choose_order(orders, gap, name="sort"))(jnp.zeros((2, 3)))
    assert chosen.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_weights_and_distances_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one distance for every weight"):
        choose(jnp.ones(3), jnp.ones(()), name="relu")
