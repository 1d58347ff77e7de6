"""`python -m lorascope`, as launchers of several processes need it."""

import sys

from lorascope.cli import main

if __name__ == "__main__":
    sys.exit(main())
