"""The laws of projections, as functions of a row of the table in `projection_cases.py`."""

from __future__ import annotations

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
from projection_cases import Projection, points

import implicitcg as icg
from implicitcg.nonsmooth import hull


def size_of(x: np.ndarray) -> np.ndarray:
    return 1 + np.abs(x).max(-1)


def check_projection(row: Projection) -> None:
    """Idempotent, firmly nonexpansive, the nearest of many points of the set, and never NaN."""
    x, theta = points(row.size), row.theta()
    p = np.asarray(row.value(x, *theta))
    assert np.isfinite(p).all()
    again = np.asarray(row.value(p, *theta))
    assert np.max(np.abs(again - p).max(-1) / size_of(x)) < 1e-13  # rounding of the largest entry
    dx, dp = x[:, None] - x[None], p[:, None] - p[None]
    scale = size_of(x)[:, None] * size_of(x)[None]
    assert np.min(((dx - dp) * dp).sum(-1) / scale**2) > -1e-13
    # for every member y of the set, (x - p)^T (y - p) <= 0; the members are the other projections
    obtuse = ((x - p)[:, None] * (p[None] - p[:, None])).sum(-1)
    assert np.max(obtuse / scale**2) < 1e-13


def check_optimality(row: Projection) -> None:
    """cvxpy with Clarabel finds nothing better; it stops at 1e-8, relative."""
    theta = row.theta()
    chosen = points(row.size)[[0, 1, 42, -5]]
    ours = np.asarray(row.value(chosen, *theta))
    for x, p in zip(chosen, ours, strict=True):
        y = cp.Variable(row.size)
        problem = cp.Problem(cp.Minimize(cp.sum_squares(y - x)), row.constraints(y, *[np.asarray(t) for t in theta]))
        problem.solve(solver=cp.CLARABEL)
        # the objective is flat to second order, so the point is found to the root of the solver's error only
        assert np.linalg.norm(p - y.value) < 2e-4 * size_of(x)
        assert np.linalg.norm(p - x) <= np.linalg.norm(y.value - x) + 1e-7 * size_of(x)


def check_derivatives(row: Projection) -> None:
    """Symmetric with eigenvalues in [0, 1], equal to differences away from kinks, in the parameters too."""
    x, theta = points(row.size, seed=1), row.theta()
    J, *rest = (np.asarray(j) for j in row.jacobians(x, *theta))
    assert np.isfinite(J).all()
    assert np.max(np.abs(J - J.swapaxes(1, 2))) < 1e-12
    eigenvalues = np.linalg.eigvalsh((J + J.swapaxes(1, 2)) / 2)
    assert eigenvalues.min() > -1e-12
    assert eigenvalues.max() < 1 + 1e-12
    x = x[:40]  # entries of order one, for differences
    J, rest = J[:40], [r[:40] for r in rest]
    step = 1e-6  # truncation step^2 times third derivatives, rounding 1e-16 / step
    center = np.asarray(row.value(x, *theta))
    smooth = np.ones(len(x), bool)
    errors = []

    def compare(ahead: np.ndarray, behind: np.ndarray, predicted: np.ndarray) -> None:
        nonlocal smooth
        bend = np.abs(ahead - 2 * center + behind).max(-1) / step  # a kink in between makes the slopes differ
        smooth &= bend < 1e-4
        errors.append(np.abs((ahead - behind) / (2 * step) - predicted).max(-1))

    for i, e in enumerate(np.eye(row.size)):
        compare(*[np.asarray(row.value(x + s * step * e[None], *theta)) for s in (1, -1)], J[..., i])
    rng = np.random.default_rng(2)
    for k, parameter in enumerate(theta):
        d = rng.standard_normal(parameter.shape)
        d = d - d.mean() if row.total else d

        def moved(s: int, k: int = k, d: np.ndarray = d) -> np.ndarray:
            changed = [t + s * step * d if j == k else t for j, t in enumerate(theta)]
            return np.asarray(row.value(x, *changed))

        compare(moved(1), moved(-1), np.tensordot(rest[k], d, axes=d.ndim))
    assert smooth.mean() > 0.7
    assert max(error[smooth].max() for error in errors) < 1e-7


def check_reverse_mode(row: Projection) -> None:
    """Reverse mode is the transpose of forward mode, and its derivative equals differences of it."""
    theta = row.theta()
    x = jnp.asarray(points(row.size)[3])
    every = tuple(range(1 + len(theta)))
    rng = np.random.default_rng(3)
    ds = [rng.standard_normal(np.shape(a)) for a in (x, *theta)]
    ds = tuple(jnp.asarray(d - d.mean() if row.total and k else d) for k, d in enumerate(ds))
    v = jnp.asarray(rng.standard_normal(row.size))

    @jax.jit
    def products(*arguments):
        pull = jax.grad(lambda *a: row.function(*a) @ v, argnums=every)
        return jax.jvp(row.function, arguments, ds)[1], *jax.jvp(pull, arguments, ds)

    pushed, pulled, moved = products(x, *theta)
    inner = sum(float(jnp.vdot(a, d)) for a, d in zip(pulled, ds, strict=True))
    assert abs(inner - float(v @ pushed)) < 1e-10
    step = 1e-6  # truncation step^2 and rounding 1e-15 / step, times derivatives of order ten
    ahead, behind = (
        products(x + s * ds[0], *[t + s * d for t, d in zip(theta, ds[1:], strict=True)])[1] for s in (step, -step)
    )
    for a, b, m in zip(ahead, behind, moved, strict=True):
        assert np.max(np.abs((a - b) / (2 * step) - m), initial=0.0) < 1e-7


def check_scales(row: Projection) -> None:
    """From 1e-8 to 1e8 the projection of a blown-up point on the blown-up set is the blown-up projection."""
    x = points(row.size, seed=5)[:10]
    for dtype, room in ((np.float64, 1e-12), (np.float32, 2e-4)):
        reference = np.asarray(row.value(x, *row.theta()))
        for scale in (1e-8, 1e-3, 1e3, 1e8):
            theta = [np.asarray(t) * (scale if k in row.scaled else 1) for k, t in enumerate(row.parameters)]
            p = row.value(jnp.asarray(scale * x, dtype), *row.theta(theta, dtype))
            assert p.dtype == dtype
            assert np.max(np.abs(np.asarray(p, float) / scale - reference)) < room * size_of(x).max()


def check_kinks(row: Projection) -> None:
    """At a constructed kink the derivative lies in the hull of Jacobians nearby and is one of a set that is known."""
    for x, given in row.kinks:
        x, theta = jnp.asarray(x, float), row.theta(given)
        here = np.asarray(row.jacobians(x[None], *theta)[0])[0]
        rng = np.random.default_rng(6)
        # nearer than the tolerance of the comparison, and in all parameters that may move
        cloud = np.asarray(x) + 1e-6 * rng.standard_normal((400, row.size))
        nearby = np.asarray(row.jacobians(cloud, *theta)[0]).reshape(400, -1)
        assert hull.distance(nearby, here.reshape(-1)) < 1e-4, (row.name, x)
    for x, given in row.kinks[:2]:  # each compiles a program of its own
        x, theta = jnp.asarray(x, float), row.theta(given)
        elements = icg.conservative_jacobian(lambda x, t=theta: row.function(x, *t), x)
        assert elements.kinks > 0
        assert elements.contains(np.asarray(row.jacobians(x[None], *theta)[0])[0], 1e-10)
        if not row.limits:
            continue  # the set is larger than Clarke's, as a conservative one may be
        cloud = np.asarray(x) + 1e-6 * rng.standard_normal((400, row.size))
        nearby = np.asarray(row.jacobians(cloud, *theta)[0]).reshape(400, -1)
        for vertex in np.asarray(elements.vertices):
            assert hull.distance(nearby, vertex.reshape(-1)) < 1e-3, (row.name, x, vertex)


def moreau(cone: icg.cones.AbstractCone, x: np.ndarray) -> None:
    """`x = Pi_K(x) - Pi_{K*}(-x)`, the two orthogonal; the dual projects by itself or through its own class."""

    @jax.jit
    def projections(x):
        return cone.project(x), cone.dual().project(-x), cone.project_dual(-x)

    p, q, by_dual = (np.asarray(image) for image in projections(jnp.asarray(x)))
    scale = size_of(x)
    assert np.max(np.abs(p - q - x).max(-1) / scale) < 1e-13
    assert np.max(np.abs((p * q).sum(-1)) / scale**2) < 1e-13
    assert np.max(np.abs(by_dual - q).max(-1) / scale) < 1e-13
