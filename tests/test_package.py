"""The package as it is installed: its version, its types, its door."""

from importlib.metadata import metadata, version
from pathlib import Path

import implicitcg


def test_the_installed_version_is_the_one_of_pyproject():
    assert version("implicitcg") == "0.1.0"


def test_the_package_says_that_it_is_typed():
    assert (Path(implicitcg.__file__).parent / "py.typed").is_file()


def test_the_metadata_names_the_licence_and_the_extras():
    about = metadata("implicitcg")
    assert about["License-Expression"] == "Apache-2.0"
    extras = {"cvxpy", "jaxopt", "flax", "flow", "plots", "external", "bench", "docs", "dev", "all"}
    assert set(about.get_all("Provides-Extra")) == extras


def test_importing_the_package_changes_no_configuration_of_jax():
    import subprocess
    import sys

    code = "import jax; before = dict(jax.config.values); import implicitcg; assert dict(jax.config.values) == before"
    subprocess.run([sys.executable, "-c", code], check=True)
