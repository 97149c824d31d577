"""From a CVXPY problem to the maps between its parameters, a cone program, and its variables: done once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from jax import Array, lax
from jax import numpy as jnp

from ..cones import PSD, AbstractCone, Exponential, Nonnegative, Power, Product, SecondOrder, Zero
from ..linear import CoordinateDesign
from .maps import SparseMap
from .reductions import Reductions, Sparse

if TYPE_CHECKING:
    import cvxpy


@dataclasses.dataclass(frozen=True, eq=False)
class Recovery:
    """How a variable of the user, or a multiplier, is read off the solution of the cone program."""

    name: str
    shape: tuple[int, ...]
    dual: bool
    real: SparseMap
    imag: SparseMap | None
    exponential: bool

    def __call__(self, x: Array, y: Array) -> Array:
        """The variable at the solution `x` with multipliers `y`."""
        source = y if self.dual else x
        value = self.real(source).reshape(self.shape)
        if self.imag is not None:
            value = lax.complex(value, self.imag(source).reshape(self.shape))
        return jnp.exp(value) if self.exponential else value


@dataclasses.dataclass(frozen=True, eq=False)
class Canonical:
    """A cone program `min 1/2 x^T P x + q^T x`, `A x + s = b`, `s in K`, whose data are affine in the parameters.

    It holds numbers and no CVXPY object, compares by identity, and so may be a static part of a compiled program.
    The data are a linear map of `features`, the parts (`real`, `imag` or `log`) of the parameters by number, followed
    by a one. `P` and `A` are the places of their entries, `cones` the sizes of the blocks of `K` by kind, `row_owner`
    the number of the user's constraint that a row of `A` came from, or -1, and `column_owner` that of the variable.
    """

    features: tuple[tuple[int, str], ...]
    data: SparseMap
    n: int
    m: int
    P: np.ndarray | None
    A: np.ndarray
    cones: dict[str, Any]
    variables: tuple[Recovery, ...]
    row_owner: np.ndarray
    column_owner: np.ndarray

    def cone(self) -> Product:
        """`K`."""
        blocks: list[AbstractCone] = []
        if self.cones["zero"]:
            blocks.append(Zero(self.cones["zero"]))
        if self.cones["nonnegative"]:
            blocks.append(Nonnegative(self.cones["nonnegative"]))
        blocks += [SecondOrder(size) for size in self.cones["second_order"]]
        blocks += [PSD(order) for order in self.cones["psd"]]
        blocks += [Exponential() for _ in range(self.cones["exponential"])]
        blocks += [Power(exponent) for exponent in self.cones["power"]]
        return Product(*blocks)

    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Which entries of `x` and of `y` the layer returns, as masks."""
        masks = np.zeros(self.n, bool), np.zeros(self.m, bool)
        for variable in self.variables:
            for part in (variable.real, variable.imag):
                if part is not None:
                    masks[variable.dual][part.matrix().indices] = True
        return masks

    def evaluate(self, parameters: Sequence[Array]) -> tuple[CoordinateDesign | None, Array, CoordinateDesign, Array]:
        """`P`, `q`, `A` and `b` at values of the parameters; `P` is `None` where the objective is linear."""
        parts = {"real": jnp.real, "imag": jnp.imag, "log": jnp.log}
        features = [parts[part](parameters[number]).ravel() for number, part in self.features]
        dtype = jnp.result_type(*features) if features else jnp.result_type(float)
        values = self.data(jnp.concatenate([*(feature.astype(dtype) for feature in features), jnp.ones(1, dtype)]))
        ends = np.cumsum([0 if self.P is None else len(self.P), self.n, len(self.A)])
        P, q, A, b = jnp.split(values, ends)
        quadratic = None if self.P is None else _sparse(P, self.P, (self.n, self.n))
        return quadratic, q, _sparse(A, self.A, (self.m, self.n)), b


def canonicalise(
    problem: cvxpy.Problem,
    parameters: Sequence[cvxpy.Parameter],
    variables: Sequence[cvxpy.Variable],
    *,
    gp: bool,
    verbose: bool,
    backend: str | None,
) -> Canonical:
    """The cone program of `problem`, by CVXPY's own reductions; `variables` may be multipliers of its constraints."""
    from cvxpy.utilities import scopes

    from .target import TargetSolver

    with scopes.quad_form_dpp_scope():  # the matrix of a quadratic form in the objective may be a parameter
        data, chain, inverse = problem.get_problem_data(
            solver=TargetSolver(), gp=gp, verbose=verbose, canon_backend=backend, solver_opts={}
        )
    program = data["param_prob"]
    reductions = Reductions(chain, inverse, program)
    features, inner = _features(reductions, parameters)
    P, q, A, b = _data(program)
    blocks = [block for block in (None if P is None else P[0], q, A[0], b) if block is not None]
    dimensions = program.cone_dims
    row_owner = np.full(program.constr_size, -1)
    for number, constraint in enumerate(problem.constraints):
        rows = reductions.rows(constraint)
        if rows is not None:
            row_owner[rows] = number
    column_owner = np.full(program.x.size, -1)
    for number, variable in enumerate(problem.variables()):
        for matrix in reductions.to_variable(variable, optional=True):
            column_owner[np.unique(matrix.indices)] = number
    return Canonical(
        features=features,
        data=SparseMap(Sparse(scipy.sparse.vstack(blocks)) @ inner),
        n=program.x.size,
        m=program.constr_size,
        P=None if P is None else P[1],
        A=A[1],
        cones={
            "zero": dimensions.zero,
            "nonnegative": dimensions.nonneg,
            "second_order": tuple(dimensions.soc),
            "psd": tuple(dimensions.psd),
            "exponential": dimensions.exp,
            "power": tuple(float(exponent) for exponent in dimensions.p3d),
        },
        variables=tuple(_recovery(reductions, problem, variable, gp) for variable in variables),
        row_owner=row_owner,
        column_owner=column_owner,
    )


def _recovery(reductions: Reductions, problem: cvxpy.Problem, variable: cvxpy.Variable, gp: bool) -> Recovery:
    for constraint in problem.constraints:
        for index, dual in enumerate(constraint.dual_variables):
            if dual.id == variable.id:
                parts = reductions.to_multiplier(constraint, index)
                return _made_of(parts, variable, dual=True, exponential=False)
    return _made_of(reductions.to_variable(variable), variable, dual=False, exponential=gp)


def _made_of(parts: list[Sparse], variable: cvxpy.Variable, *, dual: bool, exponential: bool) -> Recovery:
    maps = [SparseMap(part) for part in parts]
    imag = maps[1] if len(maps) > 1 else None
    return Recovery(variable.name(), variable.shape, dual, maps[0], imag, exponential)


def _features(
    reductions: Reductions, parameters: Sequence[cvxpy.Parameter]
) -> tuple[tuple[tuple[int, str], ...], Sparse]:
    """The parts of the parameters that the data depend on, and the matrix from them to CVXPY's parameter vector."""
    features, matrices = [], []
    parts = ["real", "imag"] if reductions.logarithms is None else ["log", "real"]
    for number, parameter in enumerate(parameters):
        for part in parts:
            if part == "imag" and not parameter.is_complex():
                continue
            matrix = reductions.from_parameter(parameter, part)
            if matrix.nnz:
                features.append((number, part))
                matrices.append(matrix)
    size = reductions.program.total_param_size + 1
    one = Sparse(([1.0], ([size - 1], [0])), shape=(size, 1))
    return tuple(features), Sparse(scipy.sparse.hstack([*matrices, one]))


def _data(program: Any) -> tuple[tuple[Sparse, np.ndarray] | None, Sparse, tuple[Sparse, np.ndarray], Sparse]:
    """`P`, `q`, `A` and `b` as matrices acting on the parameter vector; with `P` and `A`, the places of the entries."""
    n, m = program.x.size, program.constr_size
    P = None if program.P is None else _entries(program.P, 0, n * n, n)
    A = _entries(-program.A, 0, m * n, m)  # the columns of A come first, and then b, where CVXPY means A x + b in K
    b = _rows(program.A, m * n, m * (n + 1))
    return None if P is None or not len(P[1]) else P, Sparse(_rows(program.q, 0, n)), A, Sparse(b)


def _entries(tensor: Any, start: int, stop: int, height: int) -> tuple[Sparse, np.ndarray]:
    """Those of these rows, the entries of a matrix column by column, that are not zero, and their places.

    There is a row for every entry of a matrix that is nearly empty, so none of them is touched but those in use.
    """
    rows = _rows(tensor, start, stop)
    used, number = np.unique(rows.coords[0], return_inverse=True)
    column, row = np.divmod(used, max(height, 1))
    found = Sparse((rows.data, (number, rows.coords[1])), shape=(len(used), tensor.shape[1]))
    return found, np.stack([row, column], axis=1).astype(np.int32)


def _rows(tensor: Any, start: int, stop: int) -> scipy.sparse.coo_array:
    """Rows `start` to `stop` of a sparse matrix, without entries that are zero."""
    tensor = scipy.sparse.csc_array(tensor)  # which adds up what stands twice
    tensor.sum_duplicates()
    tensor = tensor.tocoo()
    row, column = tensor.coords
    kept = (row >= start) & (row < stop) & (tensor.data != 0)
    return scipy.sparse.coo_array(
        (tensor.data[kept], (row[kept] - start, column[kept])), shape=(stop - start, tensor.shape[1])
    )


def _sparse(values: Array, places: np.ndarray, shape: tuple[int, int]) -> CoordinateDesign:
    return CoordinateDesign(values, jnp.asarray(places[:, 0]), jnp.asarray(places[:, 1]), shape)
