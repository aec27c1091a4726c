"""Run every fuzz target in turn: `python tests/fuzz/run.py --seconds 10`. Exits 1 if one crashed.

Inputs that crash are left in the working directory as `crash-*`; reduce them with `-minimize_crash=1`.
"""

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("targets", nargs="*", help="decoders, all by default")
    options = parser.parse_args()
    failed = []
    for script in sorted(Path(__file__).parent.glob("fuzz_*.py")):
        name = script.stem.removeprefix("fuzz_")
        if options.targets and name not in options.targets:
            continue
        command = [sys.executable, str(script), f"-max_total_time={options.seconds}", "-max_len=4096", "-verbosity=0"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"crashed: {', '.join(failed)}" if failed else "no crash")  # noqa: T201 - a script's result
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
