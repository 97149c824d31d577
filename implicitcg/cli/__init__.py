"""The command `implicitcg`: `tune` a sparse model on a table of numbers, `predict` with it."""

from .command import main as main
