"""Equilibrium layers: exact derivatives, failures that stay alone, and what may be claimed of a trained layer."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.flatten_util import ravel_pytree
from laws import assert_close

import implicitcg as icg
from implicitcg import deq

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 3)))
KEY = jax.random.key(0)


PLAIN = {"solver": icg.solvers.FixedPointIteration(1e-13), "adjoint": icg.adjoints.Anderson()}  # quick to compile


def summed(layer, x):
    """A smooth loss of a batch of equilibria."""
    return jnp.sum(jnp.sin(jax.vmap(lambda x: layer.solve(x, throw=False).value)(x)))


gradient_of = eqx.filter_jit(eqx.filter_grad(summed))
solved = eqx.filter_jit(lambda layer, x: jax.vmap(lambda x: layer.solve(x, throw=False))(x))


def by_formula(layer, x):
    """The gradient of `summed` by `dz/d(Ux + b) = (I - D W)^{-1} D` at equilibria refined by active sets, in NumPy."""
    W, U, b = (np.asarray(a) for a in (layer.map().matrix, layer.U, layer.b))
    total = {"W": np.zeros_like(W), "U": np.zeros_like(U), "b": np.zeros_like(b)}
    for row, z in zip(np.asarray(x), np.asarray(solved(layer, x).value), strict=True):
        D = np.diag((W @ z + U @ row + b > 0).astype(float))
        B = np.eye(len(b)) - D @ W
        z = np.linalg.solve(B, D @ (U @ row + b))
        v = D @ np.linalg.solve(B.T, np.cos(z))
        total["W"] += np.outer(v, z)
        total["U"] += np.outer(v, row)
        total["b"] += v
    return total


@pytest.mark.parametrize("kind", [deq.MonotoneDEQ, deq.ContractiveDEQ])
def test_the_gradient_of_an_affine_layer_is_the_dense_formula(kind):
    layer = kind(3, 7, polish=True, key=KEY)
    gradient, exact = gradient_of(layer, X), by_formula(layer, X)
    assert_close(gradient.U, exact["U"], 1e-10)  # the adjoint stops at eps^(3/4) = 2e-12, times the conditioning
    assert_close(gradient.b, exact["b"], 1e-10)
    if kind is deq.MonotoneDEQ:
        A = np.asarray(layer.A)
        assert_close(gradient.A, -A @ (exact["W"] + exact["W"].T), 1e-10)
        assert_close(gradient.S, exact["W"] - exact["W"].T, 1e-10)
    assert float(solved(layer, X).residual.max()) < 1e-14  # after the Newton step only rounding is left


def test_in_single_precision_the_gradient_is_right_to_its_rounding():
    layer = deq.MonotoneDEQ(3, 7, tolerance=1e-6, polish=True, key=KEY)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), layer)
    gradient = gradient_of(single, X.astype(jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (single, X.astype(jnp.float32)))
    exact = by_formula(*double)
    for name in "Ub":  # the bound that the issue asks for
        assert np.abs(np.asarray(getattr(gradient, name)) - exact[name]).max() <= 1e-5 * np.abs(exact[name]).max()


def test_a_convolutional_layer_is_the_layer_of_its_dense_matrix():
    layer = deq.MonotoneDEQ(1, 2, image=(4, 5), polish=True, key=KEY)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 1, 4, 5)))
    basis = jnp.eye(40).reshape(40, 2, 4, 5)
    W = jax.vmap(layer.map().apply)(basis).reshape(40, 40).T
    assert np.linalg.eigvalsh(np.eye(40) - (W + W.T) / 2).min() >= layer.modulus - 1e-12
    injected = jax.vmap(layer.injected)(x)
    wrapped = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
    padded = lax.conv(wrapped, layer.U, (1, 1), "VALID") + layer.b[None, :, None, None]
    assert_close(injected, padded, 1e-12)
    z = np.asarray(solved(layer, x).value).reshape(2, 40)
    assert_close(z, np.maximum(z @ np.asarray(W).T + np.asarray(injected).reshape(2, 40), 0), 1e-13)
    slopes = z > 0  # no unit of this example is at its kink
    exact = np.zeros((2, 4, 5))
    for d, row in zip(slopes.astype(float), z, strict=True):
        B = np.eye(40) - np.diag(d) @ np.asarray(W)
        exact += (d * np.linalg.solve(B.T, np.cos(row))).reshape(2, 4, 5)
    assert_close(gradient_of(layer, x).b, exact.sum((1, 2)), 1e-10)


@pytest.mark.parametrize("start", [0.0, 1e-9])
def test_a_contractive_layer_that_begins_at_zero_has_its_whole_gradient(start):
    """Below the bound nothing is shrunk: with `z = relu(M z + 2)` at 0, `d (z_1 + z_2) / dM` is 2 in every entry."""
    layer = deq.ContractiveDEQ(1, 2, contraction=0.5, key=jax.random.key(0), dtype=jnp.float64)
    layer = eqx.tree_at(lambda m: (m.U, m.b), layer, (jnp.ones((2, 1)), jnp.ones(2)))

    def loss(M):
        return eqx.tree_at(lambda m: m.M, layer, M)(jnp.ones(1)).sum()

    np.testing.assert_allclose(jax.grad(loss)(start * jnp.eye(2)), 2, rtol=1e-8)


def test_the_norm_of_a_contractive_layer_is_its_bound_also_for_images():
    for options in ({}, {"image": (4, 5)}):
        layer = deq.ContractiveDEQ(1, 3, contraction=0.5, key=KEY, **options)
        layer = eqx.tree_at(lambda m: m.M, layer, 10 * layer.M)
        norms = np.linalg.norm(layer.map().blocks(), 2, axis=(-2, -1))
        assert norms.max() == pytest.approx(0.5, rel=1e-12)


class Dense(eqx.Module):
    """`z = tanh(W z + U x + b)` on a state of two parts, to be a pytree."""

    W: jax.Array
    U: jax.Array

    def __call__(self, z, x, key=None):
        mask = 1.0 if key is None else 2.0 * jax.random.bernoulli(key, 0.5, (4,)).astype(x.dtype)
        image = jnp.tanh(self.W @ (mask * jnp.concatenate([z["a"], z["b"]])) + self.U @ x)
        return {"a": image[:3], "b": image[3:]}


STATE = {"a": jnp.zeros(3), "b": jnp.zeros(1)}
W = np.random.default_rng(2).standard_normal((4, 4))
CELL = Dense(jnp.asarray(0.9 * W / np.linalg.norm(W, 2)), jnp.asarray(np.random.default_rng(3).standard_normal((4, 3))))


def free_loss(layer, x, throw=True):
    solution = jax.vmap(lambda x: layer.solve(x, throw=throw))(x)
    losses = jnp.sum(jnp.sin(solution.value["a"]), 1) + jnp.sum(solution.value["b"], 1)
    return deq.mean_converged(losses, solution)


free_gradient = eqx.filter_jit(eqx.filter_value_and_grad(free_loss))


def test_a_free_layer_on_a_pytree_has_the_gradient_of_the_unrolled_iteration():
    def unrolled(cell, x):
        def one(x):
            return lax.scan(lambda z, _: (cell(z, x), None), STATE, None, length=350)[0]  # .9^350 = 1e-16

        z = jax.vmap(one)(x)
        return jnp.mean(jnp.sum(jnp.sin(z["a"]), 1) + jnp.sum(z["b"], 1))

    value, gradient = free_gradient(deq.DEQ(CELL, STATE, tolerance=1e-13), X)
    expected, truth = jax.value_and_grad(unrolled)(CELL, X)
    assert_close(value, expected, 1e-12)
    assert_close(gradient.cell, truth, 1e-11)


def test_the_fixed_point_function_of_jaxopt_is_a_cell():
    layer = deq.DEQ(lambda z, params, x: params(z, x), STATE, **PLAIN)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        solution = jax.vmap(lambda x: layer.solve(params, x, throw=False))(X)
        return deq.mean_converged(jnp.sum(jnp.sin(solution.value["a"]), 1) + solution.value["b"][:, 0], solution)

    value, gradient = loss(CELL)
    expected, truth = free_gradient(deq.DEQ(CELL, STATE, tolerance=1e-13), X)
    assert_close(value, expected, 1e-12)
    assert_close(gradient, truth.cell, 1e-11)


def test_a_sample_that_is_not_finite_or_diverges_fails_alone_and_does_not_teach():
    layer = deq.DEQ(_Growing(jnp.asarray(0.5)), jnp.zeros(2), **PLAIN)
    good = jnp.asarray([[0.3, 0.2], [-0.1, 0.4]])
    bad = jnp.concatenate([good, jnp.asarray([[jnp.nan, 0.0], [3.0, 0.0]])])

    @eqx.filter_jit
    def losses(layer, x):
        def loss(layer):
            solution = jax.vmap(lambda x: layer.solve(x, throw=False))(x)
            return deq.mean_converged(jnp.sum(jnp.square(solution.value), 1), solution), solution

        return eqx.filter_value_and_grad(loss, has_aux=True)(layer)

    (value, solution), gradient = losses(layer, bad)
    wanted = ["converged", "converged", "non_finite_input", "diverged"]
    assert all(bool((solution.status == getattr(icg.Status, name))[i]) for i, name in enumerate(wanted))
    assert np.isfinite(solution.value).all()
    (expected, _), truth = losses(layer, jnp.tile(good, (2, 1)))
    assert_close(value, expected, 1e-13)
    assert_close(gradient.cell.slope, truth.cell.slope, 1e-12)
    (nothing, _), _ = losses(layer, jnp.tile(bad[2:], (2, 1)))
    assert np.isnan(nothing)  # a loss of no sample at all is no number


class _Growing(eqx.Module):
    slope: jax.Array

    def __call__(self, z, x):
        return jnp.where(x[0] > 2, 1.5 * z + 1, jnp.tanh(self.slope * z + x))


def test_weights_among_the_inputs_stay_shared_by_a_batch():
    """Else every sample would have a copy of them: a hundred times the memory, and the time."""
    layer = deq.DEQ(lambda z, W, x: jnp.tanh(W @ z + x), jnp.zeros(30), **PLAIN)
    solve = jax.jit(jax.vmap(lambda W, x: layer.solve(W, x, throw=False).value, in_axes=(None, 0)))
    used = solve.lower(jnp.zeros((30, 30)), jnp.zeros((50, 30))).compile().memory_analysis().temp_size_in_bytes
    assert used < 50 * 30 * 30 * 8 / 2  # half of what the copies would take


def test_a_dropout_mask_is_drawn_once_a_solve():
    layer = deq.DEQ(CELL, STATE, **PLAIN)
    keys = jax.random.split(jax.random.key(7), 6)
    solve = eqx.filter_jit(lambda layer, keys: jax.vmap(lambda x, key: layer.solve(x, key=key, throw=False))(X, keys))
    solution = solve(layer, keys)
    again = jax.vmap(lambda z, x, key: CELL(z, x, key=key))(solution.value, X, keys)
    assert_close(again, solution.value, 1e-11)  # an equilibrium of the map with its mask
    other = solve(layer, jax.random.split(jax.random.key(8), 6))
    assert not np.allclose(other.value["a"], solution.value["a"])


def test_half_precision_weights_are_solved_in_single():
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (CELL, STATE, X))
    layer = deq.DEQ(half[0], half[1], tolerance=1e-6)
    solution = solved(layer, half[2])
    assert bool(solution.converged.all()) and float(solution.residual.max()) < 1e-5
    assert {leaf.dtype for leaf in jax.tree.leaves(solution.value)} == {jnp.dtype(jnp.bfloat16)}
    cell, state, x = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), half)
    exact = solved(deq.DEQ(cell, state, solver=PLAIN["solver"]), x).value
    # one rounding to bfloat16, eps / 2 = 2^-9
    assert_close(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), solution.value), exact, 2.0**-9)
    monotone = deq.MonotoneDEQ(3, 5, tolerance=1e-6, dtype=jnp.bfloat16, key=KEY)
    solution = solved(monotone, half[2])
    assert solution.value.dtype == jnp.bfloat16 and bool(solution.converged.all())
    assert gradient_of(monotone, half[2]).A.dtype == jnp.bfloat16


def test_corrections_are_iterates_that_carry_one_step_of_gradient():
    layer = deq.DEQ(lambda z, t: t * z + 1, jnp.zeros(()))
    second = jax.value_and_grad(lambda t: deq.corrections(layer, t, steps=(2,))[0])(0.5)
    assert second == (1.5, 1.0)  # z_1 = 1 is held still: d(t z_1 + 1)/dt = 1, where unrolling has the same; z_3 differs
    third = jax.value_and_grad(lambda t: deq.corrections(layer, t, steps=(3, 1))[0])(0.5)
    assert third == (1.75, 1.5)  # z_2; through all steps it would be d(1 + t + t^2)/dt = 2
    with pytest.raises(ValueError, match="at least 1"):
        deq.corrections(layer, 0.5, steps=(0,))


def test_estimates_of_the_jacobian_agree_with_its_matrix():
    M = np.random.default_rng(4).standard_normal((5, 5))
    keys = jax.random.split(KEY, 4000)
    penalties = jax.vmap(lambda key: deq.jacobian_penalty(lambda z: jnp.asarray(M) @ z, jnp.ones(5), key))(keys)
    error = float(penalties.std()) / np.sqrt(len(keys))
    assert abs(float(penalties.mean()) - np.sum(M**2) / 5) < 4 * error  # four standard errors
    slope = jax.grad(lambda s: deq.jacobian_penalty(lambda z: s * z, jnp.ones(5), KEY, samples=3))(2.0)
    assert slope == pytest.approx(float(deq.jacobian_penalty(lambda z: 2 * z, jnp.ones(5), KEY, samples=3)))
    bounded = deq.spectrally_normalised(jnp.asarray(M), 0.7, rounds=400)
    assert np.linalg.norm(bounded, 2) == pytest.approx(0.7, rel=1e-6)  # power iteration has converged to 1e-6 here
    small = jnp.asarray(M / np.linalg.norm(M, 2) / 2)
    assert_close(deq.spectrally_normalised(small, 0.7), small, 0.0)
    normal = M + M.T  # of real eigenvalues, so that the growth settles
    assert deq.spectral_radius(lambda z: jnp.asarray(normal) @ z, jnp.ones(5), rounds=800) == pytest.approx(
        np.abs(np.linalg.eigvalsh(normal)).max(), rel=1e-6
    )


def test_statistics_of_a_batch_are_scalars_also_inside_jit():
    layer = deq.DEQ(lambda z, x: 0.5 * z + x, jnp.zeros(2), **PLAIN)

    @jax.jit
    def logged(x):
        solution = jax.vmap(lambda x: layer.solve(x, throw=False))(x)
        return deq.statistics(solution, lambda z: 0.5 * z)

    found = logged(jnp.asarray([[1.0, 2.0], [jnp.inf, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    assert found.share_converged == 0.75
    assert float(found.spectral_radius) == pytest.approx(0.5)
    assert 0 < float(found.iterations_mean) <= float(found.iterations_max)
    assert float(found.residual_max) <= 1e-11


@pytest.mark.parametrize(
    ("kind", "solver", "tolerance"),
    [
        (deq.MonotoneDEQ, icg.solvers.PeacemanRachford, 1e-3),
        (deq.ContractiveDEQ, icg.solvers.FixedPointIteration, 3e-2),
    ],
)
def test_units_called_certain_are_on_their_side_and_the_error_bound_holds(kind, solver, tolerance):
    rough = kind(3, 7, solver=solver(tolerance), key=KEY)
    exact = kind(3, 7, solver=solver(1e-13), polish=True, key=KEY)
    x = jnp.asarray(np.random.default_rng(5).standard_normal((40, 3)))
    found = deq.certify(rough, x)
    assert found.verdict == "certified" and found.samples == 40 and 0 < found.certain < 1
    near, truth = solved(rough, x), solved(exact, x)
    errors = np.linalg.norm(near.value - truth.value, axis=1)
    assert errors.max() <= found.error
    W, injected = np.asarray(rough.map().matrix), np.asarray(jax.vmap(rough.injected)(x))
    s, exact_s = near.value @ W.T + injected, truth.value @ W.T + injected
    bound = rough.map().row_norm() * rough.problem(x[0]).error_bound(1.0) * np.asarray(near.residual)[:, None]
    certain = np.abs(s) > bound
    assert certain.mean() == pytest.approx(found.certain, abs=1e-12)
    assert (np.sign(s) == np.sign(exact_s))[certain].all()
    assert deq.certify(exact, x).certain == 1.0
    B = [np.eye(7) - np.diag(d) @ W for d in itertools.product([0.0, 1.0], repeat=7)]
    assert max(np.linalg.cond(b) for b in B) <= found.condition


def test_a_layer_that_is_monotone_only_within_rounding_is_not_certified():
    layer = deq.MonotoneDEQ(3, 4, modulus=1e-17, key=KEY)
    layer = eqx.tree_at(lambda m: m.A, layer, 0 * layer.A)
    found = deq.certify(layer, X)
    assert found.verdict == "unknown" and "beyond rounding" in found.reason
    slow = deq.MonotoneDEQ(3, 4, solver=icg.solvers.PeacemanRachford(max_steps=2), key=KEY)
    assert "not every sample converged" in str(deq.certify(slow, X))
    with pytest.raises(TypeError, match="free cell"):
        deq.certify(deq.DEQ(CELL, STATE), X)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="outside jit"):
        jax.jit(lambda x: deq.certify(slow, x).certain)(X)


def test_a_layer_with_units_on_their_kinks_has_every_vertex():
    """The example of the theory: a monotone layer, `(I - D W)^{-1} D` for every choice at the kinks, and certified."""
    layer = deq.MonotoneDEQ(2, 4, polish=True, key=KEY)
    matrix = np.asarray(layer.map().matrix)
    s = np.array([0.0, 1.0, -1.0, 0.0])  # before the activation
    layer = eqx.tree_at(lambda m: m.b, layer, jnp.asarray(s - matrix @ np.maximum(s, 0)))

    def equilibrium(b):
        return eqx.tree_at(lambda m: m.b, layer, b)(jnp.zeros(2))

    elements = icg.conservative_jacobian(equilibrium, layer.b, tol=1e-9)
    assert elements.exhaustive and len(elements.vertices) == 4
    for ties in itertools.product([0.0, 1.0], repeat=2):
        D = np.diag([ties[0], 1.0, 0.0, ties[1]])
        vertex = np.linalg.solve(np.eye(4) - D @ matrix, D)
        assert min(np.abs(np.asarray(elements.vertices) - vertex).max(axis=(1, 2))) < 1e-9
    found = icg.certify(layer.problem(jnp.zeros(2)), layer.solve(jnp.zeros(2)))
    assert found.verdict == "certified" and found.kinks == 2


def test_faults_of_a_cell_are_told_at_the_call():
    with pytest.raises(TypeError, match="must be a function"):
        deq.DEQ(3, jnp.zeros(2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="real numbers"):
        deq.DEQ(lambda z, x: z, jnp.zeros(2, jnp.int32))
    with pytest.raises(TypeError, match="no arrays"):
        deq.DEQ(lambda z, x: z, None)
    with pytest.raises(ValueError, match="must keep the structure"):
        deq.DEQ(lambda z, x: jnp.concatenate([z, x]), jnp.zeros(2))(jnp.ones(1))
    with pytest.raises(ValueError, match="must keep the structure"):
        deq.DEQ(lambda z, x: (z + x).astype(jnp.float32), jnp.zeros(2))(jnp.ones(2))
    with pytest.raises(ValueError, match="one sample of shape"):
        deq.MonotoneDEQ(3, 4, key=KEY)(X)
    for layer, x in ((deq.DEQ(CELL, STATE), X[0]), (deq.MonotoneDEQ(3, 4, key=KEY), X[0])):
        with pytest.raises(ValueError, match="init has shape"):
            layer(x, init=jnp.zeros(5))
    with pytest.raises(ValueError, match="modulus"):
        deq.MonotoneDEQ(3, 4, modulus=0.0, key=KEY)
    with pytest.raises(ValueError, match="contraction"):
        deq.ContractiveDEQ(3, 4, contraction=1.0, key=KEY)
    with pytest.raises(ValueError, match="odd"):
        deq.MonotoneDEQ(3, 4, image=(4, 4), kernel=2, key=KEY)


def test_integer_inputs_pass_through_and_carry_no_derivative():
    layer = deq.DEQ(lambda z, x, index: 0.5 * z + x[index], jnp.zeros(()), **PLAIN)
    value, slope = jax.value_and_grad(lambda x: layer(x, jnp.asarray(1)))(jnp.asarray([3.0, 4.0]))
    assert_close(value, 8.0, 1e-12)
    assert_close(slope, [0.0, 2.0], 1e-11)


@pytest.mark.parametrize(
    ("text", "cell", "x"),
    [
        ("step limit", lambda z, x: jnp.sqrt(z**2 + x), 1.0),  # no fixed point: it grows for ever, slowly
        ("diverged", lambda z, x: z**2 + x, 1.0),  # none either, and it explodes
        ("NaN or infinite", lambda z, x: z / 2 + x, float("nan")),
    ],
)
def test_what_has_no_equilibrium_raises_with_advice_also_in_training(text, cell, x, fails_with):
    layer = deq.DEQ(cell, jnp.zeros(()), solver=icg.solvers.FixedPointIteration(max_steps=200))
    fails_with(text, layer, x)
    fails_with(text, jax.jit(jax.value_and_grad(layer)), x)
    gradient = jax.grad(lambda x: jnp.where((s := layer.solve(x, throw=False)).converged, s.value, jnp.nan))(x)
    assert gradient == 0 or np.isnan(gradient)  # masked out, or no number


def test_a_singular_derivative_is_refused(fails_with):
    """`z = z - (z - x)^3` has the equilibrium `x`, where `I - J = 0`."""
    layer = deq.DEQ(lambda z, x: z - (z - x) ** 3, jnp.zeros(()), solver=icg.solvers.FixedPointIteration(1e-6))
    at = lambda x, **options: layer.solve(x, init=x, **options).value  # noqa: E731
    fails_with("linear solve of the derivative", jax.grad(at), 0.5)
    assert np.isnan(jax.grad(lambda x: at(x, throw=False))(0.5))


def test_the_memory_of_a_gradient_does_not_grow_with_the_steps():
    def temporaries(steps):
        solver, adjoint = icg.solvers.Anderson(1e-13, max_steps=steps), icg.adjoints.Anderson()
        layer = deq.DEQ(CELL, STATE, solver=solver, adjoint=adjoint)
        solve = jax.vmap(lambda x: layer.solve(x, throw=False).value["a"])
        compiled = jax.jit(jax.grad(lambda x: solve(x).sum())).lower(X).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(1000) == temporaries(10) > 0


def test_a_layer_of_any_norm_reaches_its_tolerance_in_single_precision_and_so_does_its_gradient():
    """Tripled `A` and `S`: the norm is 12 and the splitting's step small, which magnified its rounding once."""
    told = []
    adjoint = icg.adjoints.PeacemanRachford(1e-6, report=lambda residual, steps: told.append((residual, steps)))
    layer = deq.MonotoneDEQ(3, 60, tolerance=1e-6, adjoint=adjoint, dtype=jnp.float32, key=KEY)
    layer = eqx.tree_at(lambda m: (m.A, m.S), layer, (3 * layer.A, 3 * layer.S))
    x = jnp.asarray(np.random.default_rng(9).standard_normal((64, 3)), jnp.float32)
    solution = solved(layer, x)
    assert bool(solution.converged.all()) and int(solution.iterations.max()) < 100
    W, z = np.asarray(layer.map().matrix, float), np.asarray(solution.value, float)
    residual = np.linalg.norm(z - np.maximum(z @ W.T + np.asarray(jax.vmap(layer.injected)(x), float), 0), axis=1)
    # as computed in single precision it is below 1e-6; that computation itself rounds by about as much
    assert np.max(residual / np.maximum(1, np.linalg.norm(z, axis=1))) < 1.5e-6
    jax.block_until_ready(gradient_of(layer, x))
    jax.effects_barrier()
    residuals, steps = np.asarray(told).T
    assert residuals.max() < 2e-6 and steps.max() < 60  # rounding stops it at about 1e-6; without a stall


def test_a_warm_start_takes_no_steps_and_carries_no_derivative():
    layer = deq.DEQ(CELL, STATE, **PLAIN)
    first = layer.solve(X[0])
    again = layer.solve(X[0], init=first.value)
    assert int(first.iterations) > int(again.iterations) <= 1
    scaled = jax.grad(lambda s: layer(X[0], init=jax.tree.map(lambda z: s * z, first.value))["b"][0])(1.0)
    assert scaled == 0


def test_flax_layers_are_the_same_layers():
    nnx = pytest.importorskip("flax.nnx")
    layer = deq.flax.MonotoneDEQ(3, 7, polish=True, rngs=nnx.Rngs(1))
    plain = layer.equinox()
    loss = lambda layer, x: jnp.sum(jnp.sin(layer.solve(x, throw=False).value))  # noqa: E731
    gradient = nnx.jit(nnx.grad(loss))(layer, X)
    expected = gradient_of(plain, X)
    for name in ("A", "S", "U", "b"):
        assert_close(gradient[name][...], getattr(expected, name), 1e-12)
    assert deq.certify(plain, X).verdict == "certified"

    class Cell(nnx.Module):
        def __init__(self, rngs):
            self.z, self.x = nnx.Linear(4, 4, rngs=rngs), nnx.Linear(3, 4, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, z, x):
            return jnp.tanh(0.3 * self.dropout(self.z(z)) + self.x(x))

    single = {"solver": icg.solvers.FixedPointIteration(1e-6), "adjoint": icg.adjoints.Anderson(1e-5)}
    free = deq.flax.DEQ(Cell(nnx.Rngs(0)), jnp.zeros(4, jnp.float32), **single)
    x = X.astype(jnp.float32)
    call = nnx.jit(lambda layer, x: layer(x))
    first, second = call(free, x), call(free, x)
    assert not np.allclose(first, second)  # every call draws masks
    free.eval()
    assert_close(call(free, x), call(free, x), 0.0)
    cell = free.cell
    z = call(free, x)
    assert_close(jax.vmap(cell)(z, x), z, 1e-5)  # the tolerance, times the size of z
    slopes = nnx.jit(nnx.grad(lambda layer, x: layer(x).sum()))(free, x)
    assert all(np.isfinite(leaf).all() and np.any(leaf != 0) for leaf in jax.tree.leaves(slopes))
    with pytest.raises(TypeError, match=r"nnx\.Module"):
        deq.flax.DEQ(lambda z, x: z, jnp.zeros(2))


def test_forward_mode_and_hessians_go_through_a_layer():
    layer = deq.MonotoneDEQ(3, 4, activation=icg.penalties.Entrywise(jnp.tanh), tolerance=1e-13, key=KEY)
    flat, unravel = ravel_pytree(layer)

    def loss(p):
        return jnp.sum(jnp.sin(unravel(p)(X[0])))

    d = jnp.asarray(np.random.default_rng(6).standard_normal(flat.shape)) / np.sqrt(flat.size)

    both_orders = jax.jit(lambda p: jax.jvp(jax.value_and_grad(loss), (p,), (d,)))
    (value, gradient), (pushed, second) = both_orders(flat)
    assert_close(pushed, gradient @ d, 1e-10)
    step = 1e-4  # truncation 1e-8 times the third derivative
    ahead, behind = (both_orders(flat + s * d)[0][0] for s in (step, -step))
    assert_close(second @ d, (ahead - 2 * value + behind) / step**2, 1e-5)
