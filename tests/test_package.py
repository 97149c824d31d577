"""The package as it is installed: its version, its types, its door."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import implicitcg

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(implicitcg.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = ["sklearn", "rich", "optax", "cvxpy", "clarabel", "scs", "matplotlib", "diffrax", "lineax", "optimistix"]
OPTIONAL += ["flax", "jaxopt", "celer", "skglm", "pandas"]


def run(code):
    """A process of its own in which no optional dependency is to be had."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
    done = subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_version_is_the_one_of_pyproject():
    assert version("implicitcg") == "0.1.0"


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


def test_the_metadata_names_the_licence_and_the_extras():
    about = metadata("implicitcg")
    assert about["License-Expression"] == "Apache-2.0"
    extras = {"cli", "sklearn", "optim", "cvxpy", "jaxopt", "flax", "flow", "plots", "external", "bench", "docs", "dev"}
    assert set(about.get_all("Provides-Extra")) == extras | {"all"}


def test_importing_the_package_changes_no_configuration_of_jax():
    run(
        "import jax; before = dict(jax.config.values); import implicitcg\n"
        "implicitcg.solvers, implicitcg.tuning, implicitcg.flow, implicitcg.cvxpy, implicitcg.plots\n"
        "assert dict(jax.config.values) == before"
    )


def test_the_door_imports_nothing_before_it_is_asked_and_lists_all_that_type_checkers_see():
    assert run("import implicitcg; print(*[name for name in sys.modules if name.startswith('implicitcg.')])") == "\n"
    [block] = [node for node in ast.parse((PACKAGE / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    declared = {item.asname: node.module for node in block.body for item in node.names}
    assert {name: room or None for name, room in implicitcg._HOMES.items()} == declared
    assert set(dir(implicitcg)) >= set(declared)
    for name, room in declared.items():  # a module of this name would take its place once it was imported
        assert room is None or not ((PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()), name
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        implicitcg.nothing_of_this_name


def test_rooms_may_be_opened_first_while_a_function_is_traced():
    run(
        "import jax, implicitcg as icg\n"
        "def everything(x):\n"
        "    for name in icg.__all__:\n"
        "        getattr(icg, name)\n"
        "    return x\n"
        "with jax.checking_leaks():  # an array made by a module of its own would belong to this trace\n"
        "    jax.jit(everything)(1.0)\n"
    )


def test_what_solve_needs_is_required_and_nothing_else():
    names = {requirement.split(">")[0] for requirement in PROJECT["dependencies"]}
    assert names == {"jax", "equinox", "jaxtyping", "numpy", "scipy"}
    printed = run(
        "import jax, jax.numpy as jnp, numpy as np\n"
        "from implicitcg import *\n"
        "import implicitcg as icg\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "X = np.random.default_rng(0).standard_normal((20, 5)); y = X[:, 0] + np.cos(np.arange(20.0))\n"
        "value = lambda t: icg.solve(icg.lasso(X, y, jnp.exp(t))).value.sum()\n"
        "slope, h = jax.grad(value)(-2.0), 1e-6\n"
        "assert abs(slope - (value(-2.0 + h) - value(-2.0 - h)) / (2 * h)) < 1e-6 < abs(slope)\n"
        "model = lambda t: icg.lasso(X[:15], y[:15], jnp.exp(t))\n"
        "found = icg.tune(icg.tuning.HoldOut(model, X[15:], y[15:]), -2.0, bounds=(-6.0, 0.0), progress=True)\n"
        "print(found.converged, icg.certify(model(-2.0), icg.solve(model(-2.0))).verdict)\n"
    )
    assert printed == "True certified\n"


# What is asked for -> the extra that its error names.
ASKS = {
    "icg.sklearn": "sklearn",
    "from implicitcg.sklearn import GradientLassoCV": "sklearn",
    "icg.deq.flax": "flax",
    "icg.optim.inna(0.1)": "optim",
    "icg.flow.solve(lambda t, y, a: -y, 1.0, None, (0.0, 1.0))": "flow",
    "icg.CvxpyLayer(None, [], [])": "cvxpy",
    "icg.solve(icg.conic(None, [1.0], [[-1.0]], [-2.0], icg.cones.Nonnegative(1)))": "cvxpy",
    "icg.solvers.external.jaxopt('LBFGS')": "jaxopt",
    "icg.solve(lasso, icg.solvers.external.ScikitLearn())": "sklearn",
    "icg.solve(lasso, icg.solvers.external.Celer())": "external",
    "icg.solve(lasso, icg.solvers.external.Skglm())": "external",
    "icg.plots.path(np.ones(2), np.ones((2, 1)))": "plots",
    "icg.tune(lambda t: t**2, 1.0, search=icg.tuning.Optax(type('O', (), {'init': None, 'update': None})))": "optim",
}


def test_what_is_missing_is_told_with_the_extra_that_brings_it():
    printed = run(
        "import numpy as np, implicitcg as icg\n"
        "lasso = icg.lasso(np.eye(3), np.ones(3), 0.1)\n"
        f"for ask in {list(ASKS)!r}:\n"
        "    try:\n"
        "        exec(ask)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
        "    else:\n"
        "        print('no error:', ask)\n"
    )
    for (ask, extra), line in zip(ASKS.items(), printed.splitlines(), strict=True):
        assert line.endswith(f"which is not installed. Install it with: pip install 'implicitcg[{extra}]'"), (ask, line)
    assert set(ASKS.values()) <= set(PROJECT["optional-dependencies"])


def test_the_command_predicts_and_helps_without_its_extra_and_says_what_tune_is_missing(tmp_path):
    printed = run(
        "import contextlib, io\n"
        "from implicitcg.cli import main\n"
        "with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "    codes = [main(['--help']), main(['tune', '--data', 'diabetes']), main(['predict', 'a.json', 'b.csv'])]\n"
        "print(codes, said.getvalue())"
    )
    assert "[0, 2, 2]" in printed and "a.json does not exist" in printed
    assert "The command needs rich, which is not installed. Install it with: pip install 'implicitcg[cli]'" in printed


def test_what_breaks_inside_an_installed_package_is_raised_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import absent_part_of_it")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_part_of_it"):
        implicitcg.base.needs("half_installed", "cli", "A test")
