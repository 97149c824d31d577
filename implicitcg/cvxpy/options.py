from typing import Any
def forward_solver(solver, arguments): return None
