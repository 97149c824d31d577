"""Optional dependencies: imported where they are first used; where one is missing, its extra is named."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needs(module: str, extra: str | None, what: str) -> Any:
    """A module of another package, which the installation may lack.

    Args:
        module: its name, such as `"sklearn.datasets"`.
        extra: the group of optional dependencies in pyproject.toml that brings it, or `None` where no group does and
            the package is installed under the name of its module.
        what: who asks, as the beginning of the sentence `... needs sklearn`.

    Raises:
        ImportError: it is not installed; the message says how to get it. What goes wrong inside an installed package
            is raised as it is, since another installation would not cure it.

    Example:
        >>> from implicitcg.base import needs
        >>> needs("absent", "flow", "icg.flow")
        Traceback (most recent call last):
        ImportError: icg.flow needs absent, which is not installed. Install it with: pip install 'implicitcg[flow]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        wanted = package if extra is None else f"'implicitcg[{extra}]'"
        raise ImportError(
            f"{what} needs {package}, which is not installed. Install it with: pip install {wanted}", name=package
        ) from error
