"""The study's entry: `python run_experiment.py FLAGS` is `lorascope run FLAGS`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))  # a checkout runs without being installed

from lorascope.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
