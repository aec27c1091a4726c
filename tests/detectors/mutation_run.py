"""A long run of rule files gone wrong, for each rule language.

    python -m tests.detectors.mutation_run --count 10000 --seed 1
    python -m tests.detectors.mutation_run --count 10000 --seed 1 --language falco

Changes bytes, lines, tokens and structure of the rules that ship and of our own texts; of public rules, too, where
`../shared` lies beside the repository (they are read in place). Every refusal must name a line of the file and a
reason, nothing else than an error of the house may come out, and no file may take more than 5 s of CPU. Files that do
otherwise are kept in `--failures`, and the run ends with status 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import traceback
from collections import Counter
from itertools import islice
from pathlib import Path

from .bad_rules import Language, examine, falco, public_falco, public_sigma, sigma
from .mutation import mutants

SHARED = Path(__file__).parents[3] / "shared"
HANG_S = 120
"""A file that takes longer, on the clock, ends the run with a traceback: it may hang where nothing can be raised."""
LANGUAGES = {"sigma": (sigma, public_sigma), "falco": (falco, public_falco)}


def run(name: str, language: Language, count: int, seed: int, failures: Path) -> int:
    """Try out files; return how many did what none may do."""
    refused: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    wrong = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.yml"
        for number, (level, content) in enumerate(islice(mutants(seed, language.corpus), count)):
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            tried[level] += 1
            try:
                outcome = examine(language, content, bad)
            except Exception:  # noqa: BLE001 - whatever it is, the run goes on and tells
                wrong += 1
                failures.mkdir(parents=True, exist_ok=True)
                kept = failures / f"{name}-{seed}-{number}.yml"
                kept.write_bytes(content)
                sys.stdout.write(f"{kept} ({level})\n{traceback.format_exc()}\n")
                continue
            refused[level] += outcome.errors > 0
            slowest = max(slowest, outcome.cpu_s)
    faulthandler.cancel_dump_traceback_later()
    levels = ", ".join(f"{level} {refused[level]}/{tried[level]}" for level in tried)
    sys.stdout.write(
        f"{name}: {len(language.corpus.sources)} texts, {count} files, seed {seed}: {wrong} wrong; refused: {levels}; "
        f"slowest {slowest:.2f} s of CPU\n"
    )
    return wrong


def main() -> int:
    """Run the languages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="files for each language")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--language", choices=LANGUAGES, help="only this one")
    parser.add_argument("--shared", type=Path, default=SHARED, help="where public rules lie")
    parser.add_argument("--failures", type=Path, default=Path(tempfile.gettempdir()) / "vedette-bad-rules")
    args = parser.parse_args()
    wrong = 0
    for name in [args.language] if args.language else LANGUAGES:
        make, public = LANGUAGES[name]
        wrong += run(name, make(public(args.shared)), args.count, args.seed, args.failures)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
