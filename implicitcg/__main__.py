"""`python -m implicitcg` is the command `implicitcg`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
