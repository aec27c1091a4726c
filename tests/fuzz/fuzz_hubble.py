"""Fuzz the hubble decoder; options are libFuzzer's (see harness.py)."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("harness.py")))["main"]("hubble")
