"""Equilibrium layers against the peers: forward and backward time, gradient error, memory, accuracy on digits.

    python benchmarks/deq.py [--small] [--digits] [--memory] [--double] [--once] [KIND:NxBATCH ...]

`z = relu(W z + U x + b)`, float32, to 1e-6 in each sample's `||z - relu(W z + U x + b)|| / max(1, ||z||)`, measured
afterwards in float64 for every method; its tolerance is tightened until that holds, and `max residual` shows where it
never does; what is not near it is not timed. All methods run in one process, alternating; CPU time, medians. Backward
is the gradient of a linear form of the equilibria by all weights. The gradient error is relative, against the dense
formula in float64. A cell such as `monotone:500x128` is measured alone; a method that takes long is called less often,
and `--once` calls all once.

`contraction`: random `W` of norm .9. `monotone`: `W = (1 - m) I - A^T A + S - S^T`, m = .1, of the default
initialisation; `scaled`: the same with `A` and `S` tripled. `authors` is the iteration of Winston and Kolter's code
(step 1, stopped by the change of the whole batch), written anew in PyTorch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from implicitcg import deq

TOLERANCE, INPUTS, M = 1e-6, 64, 0.1
PATIENCE = 3000  # milliseconds after which two calls of a method are enough
NAMES = {"contraction": ("W", "U", "b"), "monotone": ("A", "S", "U", "b"), "scaled": ("A", "S", "U", "b")}


class Method(NamedTuple):
    forward: Callable[[], Any]
    both: Callable[[], Any]
    equilibrium: Callable[[], np.ndarray]
    gradient: Callable[[], dict[str, np.ndarray]]


def data(kind: str, n: int, batch: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(n + batch)
    d = {
        "U": random.uniform(-1, 1, (n, INPUTS)) / INPUTS**0.5,
        "b": random.uniform(-1, 1, n) / INPUTS**0.5,
        "x": random.standard_normal((batch, INPUTS)),
        "c": random.standard_normal((batch, n)),
    }
    if kind == "contraction":
        d["W"] = random.standard_normal((n, n))
        d["W"] *= 0.9 / np.linalg.norm(d["W"], 2)
    else:
        for name in "AS":
            d[name] = (3 if kind == "scaled" else 1) * random.uniform(-1, 1, (n, n)) / n**0.5
    return {name: value.astype(np.float32) for name, value in d.items()}


def weights(d: Any, eye: Any) -> Any:
    """`W`, in whichever array library the data are."""
    return d["W"] if "W" in d else (1 - M) * eye - d["A"].T @ d["A"] + d["S"] - d["S"].T


def exact(d: dict[str, np.ndarray], z: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Equilibria, refined from `z` by active sets, and the gradient by `(I - D W)^{-1} D`, in float64."""
    d = {name: value.astype(float) for name, value in d.items()}
    W = weights(d, np.eye(len(d["b"])))
    injected, G, right = d["x"] @ d["U"].T + d["b"], [], []
    for s, z_i, c in zip(injected, z.astype(float), d["c"], strict=True):
        for _ in range(3):
            slope = (W @ z_i + s > 0).astype(float)
            B = np.eye(len(s)) - slope[:, None] * W
            z_i = np.linalg.solve(B, slope * s)
        right.append(z_i)
        G.append(slope * np.linalg.solve(B.T, c))
    z, v = np.stack(right), np.stack(G)
    by_W = v.T @ z
    gradient = {"U": v.T @ d["x"], "b": v.sum(0)}
    if "W" in d:
        return z, {**gradient, "W": by_W}
    return z, {**gradient, "A": -d["A"] @ (by_W + by_W.T), "S": by_W - by_W.T}


def in_jax(solve: Callable[[Any], Any], d: dict[str, np.ndarray], kind: str) -> Method:
    """`solve(arrays) -> equilibria`, differentiated by the arrays that are weights."""
    arrays = {name: jnp.asarray(value) for name, value in d.items()}
    theta = {name: arrays[name] for name in NAMES[kind]}

    def value(theta: Any) -> Any:
        z = solve({**arrays, **theta})
        return jnp.sum(arrays["c"] * z), z

    forward, both = jax.jit(value), jax.jit(jax.value_and_grad(value, has_aux=True))
    return Method(
        lambda: jax.block_until_ready(forward(theta)),
        lambda: jax.block_until_ready(both(theta)),
        lambda: np.asarray(forward(theta)[1]),
        lambda: {name: np.asarray(g) for name, g in both(theta)[1].items()},
    )


def ours(d: dict[str, np.ndarray], kind: str, tolerance: float = TOLERANCE, polish: bool = False) -> Method:
    options: dict[str, Any] = {"tolerance": tolerance, "polish": polish}
    if kind == "contraction":
        cell = lambda z, W, s: jax.nn.relu(z @ W.T + s)  # noqa: E731
        layer = deq.DEQ(cell, jnp.zeros(len(d["b"]), d["b"].dtype), **options)

        def solve(a: Any) -> Any:
            injected = a["x"] @ a["U"].T + a["b"]
            return jax.vmap(lambda s: layer.solve(a["W"], s, throw=False))(injected).value

        return in_jax(solve, d, kind)
    blank = deq.MonotoneDEQ(INPUTS, len(d["b"]), modulus=M, key=jax.random.key(0), **options)

    def solve_monotone(a: Any) -> Any:
        layer = eqx.tree_at(lambda m: (m.A, m.S, m.U, m.b), blank, (a["A"], a["S"], a["U"], a["b"]))
        return jax.vmap(lambda x: layer.solve(x, throw=False))(a["x"]).value

    return in_jax(solve_monotone, d, kind)


def by_jaxopt(d: dict[str, np.ndarray], kind: str, name: str, backward: str, tolerance: float) -> Method:
    import jaxopt

    def solve(a: Any) -> Any:
        W, injected = weights(a, jnp.eye(len(a["b"]))), a["x"] @ a["U"].T + a["b"]
        solver = getattr(jaxopt, name)(
            lambda z, W, s: jax.nn.relu(z @ W.T + s),
            tol=tolerance * len(a["x"]) ** 0.5,
            maxiter=300,
            implicit_diff_solve=lambda *args, **options: getattr(jaxopt.linear_solve, backward)(
                *args, tol=TOLERANCE, maxiter=300, **options
            ),
        )
        return solver.run(jnp.zeros_like(injected), W, injected).params

    return in_jax(solve, d, kind)


def in_torch(solve: Callable[[Any, Any], Any], d: dict[str, np.ndarray], kind: str) -> Method:
    """`solve(W, injected) -> equilibria`, with gradients."""
    import torch

    t = {name: torch.tensor(value) for name, value in d.items()}
    theta = {name: t[name].requires_grad_() for name in NAMES[kind]}
    eye = torch.eye(len(d["b"]))

    def equilibrium() -> Any:
        return solve(weights(t, eye), t["x"] @ t["U"].T + t["b"])

    def both() -> None:
        for leaf in theta.values():
            leaf.grad = None
        (t["c"] * equilibrium()).sum().backward()

    def forward() -> Any:
        with torch.no_grad():
            return equilibrium()

    def gradient() -> dict[str, np.ndarray]:
        both()
        return {name: leaf.grad.numpy().copy() for name, leaf in theta.items()}

    return Method(forward, both, lambda: forward().numpy(), gradient)


def by_torchdeq(d: dict[str, np.ndarray], kind: str, solver: str, tolerance: float) -> Method:
    import torch
    from torchdeq import get_deq

    layer = get_deq(
        ift=True,
        f_solver=solver,
        b_solver=solver,
        f_max_iter=200,
        b_max_iter=200,
        f_tol=tolerance,
        b_tol=TOLERANCE,
        f_stop_mode="rel",
        b_stop_mode="rel",
    )

    def solve(W: Any, s: Any) -> Any:
        return layer(lambda z: torch.relu(z @ W.T + s), torch.zeros_like(s))[0][-1]

    return in_torch(solve, d, kind)


def by_authors(d: dict[str, np.ndarray], kind: str, tolerance: float, limit: int = 1000) -> Method:
    import torch

    def split(V: Any, bias: Any, prox: Callable[[Any], Any]) -> Any:
        z = u = torch.zeros_like(bias)
        for _ in range(limit):
            half = 2 * z - u
            u = 2 * ((half + bias) @ V.T) - half
            new = prox(u)
            change = (new - z).norm().item() / (1e-6 + new.norm().item())
            z = new
            if change <= tolerance:
                break
        return z

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, z: Any, W: Any, V: Any) -> Any:
            context.save_for_backward(z, W, V)
            return z

        @staticmethod
        def backward(context: Any, *cotangents: Any) -> Any:
            (g,) = cotangents
            z, W, V = context.saved_tensors
            active = z > 0
            v = split(V.T, torch.zeros_like(z), lambda u: torch.where(active, u + g, torch.zeros_like(u)))
            return g + v @ W, None, None

    def solve(W: Any, s: Any) -> Any:
        with torch.no_grad():
            eye = torch.eye(len(W))
            V = torch.linalg.inv(2 * eye - W)
            z = split(V, s, torch.relu)
        return Backward.apply(torch.relu(z @ W.T + s), W.detach(), V)

    return in_torch(solve, d, kind)


def residual(d: dict[str, np.ndarray], z: np.ndarray) -> float:
    """The largest over the samples, relative; NaN stays one."""
    d, z = {name: value.astype(float) for name, value in d.items()}, z.astype(float)
    image = np.maximum(z @ weights(d, np.eye(len(d["b"]))).T + d["x"] @ d["U"].T + d["b"], 0)
    return float(np.max(np.linalg.norm(z - image, axis=1) / np.maximum(1, np.linalg.norm(z, axis=1))))


def tightened(make: Callable[[float], Method], d: dict[str, np.ndarray]) -> Method:
    """The method at the first of a few tolerances at which every sample is at its own."""
    first = made = make(TOLERANCE)
    for factor in (0.5, 0.2, 0.1, None):
        reached = residual(d, made.equilibrium())
        if reached <= TOLERANCE:
            return made
        if factor is None or not reached <= 1e3 * TOLERANCE:
            break  # it never does
        made = make(factor * TOLERANCE)
    return first


def methods(d: dict[str, np.ndarray], kind: str) -> dict[str, Method]:
    rows = {"icg": tightened(lambda t: ours(d, kind, t), d), "icg, polish": ours(d, kind, polish=True)}
    try:
        import torch

        torch.set_num_threads(1)
        if kind != "contraction":
            rows["authors"] = tightened(lambda t: by_authors(d, kind, t), d)
        import torchdeq  # noqa: F401

        for solver in ("fixed_point_iter", "anderson", "broyden"):
            rows[f"torchdeq {solver}"] = tightened(lambda t, s=solver: by_torchdeq(d, kind, s, t), d)
    except ImportError as error:
        print(f"{error.name} is not installed: skipped")
    try:
        import jaxopt  # noqa: F401

        for solver, backward in (
            ("FixedPointIteration", "solve_normal_cg"),
            ("FixedPointIteration", "solve_bicgstab"),
            ("AndersonAcceleration", "solve_bicgstab"),
        ):
            name = f"jaxopt {solver}, {backward}"
            rows[name] = tightened(lambda t, s=solver, b=backward: by_jaxopt(d, kind, s, b, t), d)
    except ImportError as error:
        print(f"{error.name} is not installed: skipped")
    return rows


def medians(rows: dict[str, Method], repeats: int) -> dict[str, tuple[float, float]]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for k in range(repeats + 1):
        for name, method in rows.items():
            if len(times[name]) > 1 and np.sum(times[name]) > PATIENCE:
                continue
            marks = [time.process_time()]
            for call in (method.forward, method.both):
                call()
                marks.append(time.process_time())
            if k or not repeats:  # the first round compiles
                times[name].append((1e3 * (marks[1] - marks[0]), 1e3 * (marks[2] - marks[1])))
    return {name: tuple(np.median(np.asarray(t), axis=0)) for name, t in times.items()}  # type: ignore[misc]


def gradient_error(found: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(found[name] - right[name]).max() / np.abs(right[name]).max()) for name in right)


def timings(cells: list[tuple[str, int, int]], rounds: int) -> None:
    print("\n| layer | n | batch | method | forward ms | both ms | ratio to icg | max residual | gradient error |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, n, batch in cells:
        d = data(kind, n, batch)
        rows = methods(d, kind)
        reached = {name: residual(d, method.equilibrium()) for name, method in rows.items()}
        near = {name: method for name, method in rows.items() if reached[name] <= 1e3 * TOLERANCE}
        _, right = exact(d, rows["icg, polish"].equilibrium())
        found = medians(near, rounds)
        for name in rows:
            figures = "not timed | |"
            if name in near:
                (forward, both), error = found[name], gradient_error(rows[name].gradient(), right)
                figures = f"{forward:.3g} | {both:.3g} | {both / found['icg'][1]:.2g}"
            last = f"{error:.1e}" if name in near else ""
            print(f"| {kind} | {n} | {batch} | {name} | {figures} | {reached[name]:.1e} | {last} |", flush=True)


def double(cells: list[tuple[str, int, int]]) -> None:
    """The gradient in float64 with a polish, against the dense formula."""
    print("\n| layer | n | batch | float64 with polish: gradient error | residual |")
    print("|---|---|---|---|---|")
    with jax.enable_x64(True):
        for kind, n, batch in cells:
            d = {name: value.astype(float) for name, value in data(kind, n, batch).items()}
            method = ours(d, kind, polish=True)
            z = method.equilibrium()
            error = gradient_error(method.gradient(), exact(d, z)[1])
            print(f"| {kind} | {n} | {batch} | {error:.1e} | {residual(d, z):.1e} |", flush=True)


def memory() -> None:
    """Temporary memory of a compiled gradient, by the steps that are allowed, beside that of unrolling."""
    from implicitcg import solvers

    n, batch = 100, 32
    a = {name: jnp.asarray(value) for name, value in data("contraction", n, batch).items()}
    injected = a["x"] @ a["U"].T + a["b"]

    def cell(z: Any, W: Any, s: Any) -> Any:
        return jax.nn.relu(z @ W.T + s)

    def implicit(W: Any, steps: int) -> Any:
        layer = deq.DEQ(cell, jnp.zeros(n), solver=solvers.Anderson(TOLERANCE, max_steps=steps))
        return jnp.sum(a["c"] * jax.vmap(lambda s: layer.solve(W, s, throw=False))(injected).value)

    def unrolled(W: Any, steps: int) -> Any:
        z = jnp.zeros_like(injected)
        return jnp.sum(a["c"] * jax.lax.scan(lambda z, _: (cell(z, W, injected), None), z, length=steps)[0])

    print("\n| temporary bytes of a gradient, n = 100, batch 32 | 10 steps | 100 | 1000 |")
    print("|---|---|---|---|")
    for name, loss in (("icg.deq", implicit), ("unrolled", unrolled)):
        sizes = [
            jax.jit(jax.grad(lambda W, k=k, f=loss: f(W, k))).lower(a["W"]).compile().memory_analysis()
            for k in (10, 100, 1000)
        ]
        print(f"| {name} | " + " | ".join(str(size.temp_size_in_bytes) for size in sizes) + " |")


def digits(seeds: int = 5, epochs: int = 20) -> None:
    """Test accuracy of a monotone layer of width 100 and a linear readout, and the share of samples that converged."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32) / 16
    accuracies = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        train, test = order[:1437], order[1437:]  # 80 % and 20 %
        keys = jax.random.split(jax.random.key(seed), 2)
        model = (deq.MonotoneDEQ(64, 100, tolerance=1e-5, key=keys[0]), eqx.nn.Linear(100, 10, key=keys[1]))
        count = epochs * (len(train) // 32)
        optimiser = optax.adam(optax.cosine_decay_schedule(5e-3, count))
        state, start = optimiser.init(eqx.filter(model, eqx.is_array)), time.process_time()

        def outputs(model: Any, x: Any) -> Any:
            solution = jax.vmap(lambda x: model[0].solve(x, throw=False))(x)
            return jax.vmap(model[1])(solution.value), solution

        @eqx.filter_jit
        def step(model: Any, state: Any, x: Any, y: Any, update: Any = optimiser.update, out: Any = outputs) -> Any:
            def loss(model: Any) -> Any:
                scores, solution = out(model, x)
                losses = optax.softmax_cross_entropy_with_integer_labels(scores, y)
                return deq.mean_converged(losses, solution), solution.converged.mean()

            gradient, share = eqx.filter_grad(loss, has_aux=True)(model)
            change, state = update(gradient, state)
            return eqx.apply_updates(model, change), state, share

        shares = []
        for epoch in range(epochs):
            shuffled = np.random.default_rng((seed, epoch)).permutation(train)
            for k in range(len(train) // 32):
                rows = shuffled[32 * k : 32 * k + 32]
                model, state, share = step(model, state, X[rows], y[rows])
                shares.append(share)
        scores, solution = eqx.filter_jit(outputs)(model, X[test])
        accuracies.append(float(np.mean(np.argmax(scores, 1) == y[test])))
        print(
            f"seed {seed}: test accuracy {accuracies[-1]:.4f}, converged in training {100 * np.mean(shares):.4g} %, in "
            f"testing {100 * float(solution.converged.mean()):.4g} %, {time.process_time() - start:.1f} CPU s",
            flush=True,
        )
    mean, least = np.mean(accuracies), min(accuracies)
    print(f"digits, width 100, {epochs} epochs, {seeds} seeds: mean {mean:.4f}, least {least:.4f}")


def main(arguments: list[str]) -> int:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, jax {jax.__version__}")
    print("command: python benchmarks/deq.py " + " ".join(arguments))
    cells = [cell(a) for a in arguments if ":" in a]
    only = [name for name in ("--digits", "--memory", "--double") if name in arguments]
    if not only or cells:
        sizes = [(100, 32)] if "--small" in arguments else [(n, b) for n in (100, 500) for b in (32, 128)]
        timings(cells or [(kind, n, b) for kind in NAMES for n, b in sizes], 0 if "--once" in arguments else 7)
    if not (only or cells) or "--double" in only:
        double([(kind, n, 32) for kind in NAMES for n in ((100,) if "--small" in arguments else (100, 500))])
    if not (only or cells) or "--memory" in only:
        memory()
    if not (only or cells) or "--digits" in only:
        digits(*((1, 3) if "--small" in arguments else (5, 20)))
    return 0


def cell(argument: str) -> tuple[str, int, int]:
    """`monotone:500x128` as `("monotone", 500, 128)`."""
    kind, size = argument.split(":")
    n, batch = size.split("x")
    return kind, int(n), int(batch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
