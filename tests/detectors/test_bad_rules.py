"""Rule files gone wrong are refused with a place and a reason; nothing crashes, nothing hangs.

`python -m tests.detectors.mutation_run` tries thousands.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from detectors.rule import RuleText

from .bad_rules import Language, examine, falco, sigma
from .mutation import LEVELS, mutants

TRIES = 60
SEEDS = 2
LANGUAGES = {"sigma": sigma, "falco": falco}


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param]()


def test_the_texts_are_good_before_they_are_changed(language: Language) -> None:
    for source in language.corpus.own:
        assert not list(language.try_out(RuleText("good.yml", source.text, "")))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_file_crashes_or_hangs_and_every_refusal_has_a_place(language: Language, seed: int, tmp_path: Path) -> None:
    refused = dict.fromkeys(LEVELS, 0)
    for level, content in islice(mutants(seed, language.corpus), TRIES):
        try:
            refused[level] += examine(language, content, tmp_path / "bad.yml").errors > 0
        except Exception as error:
            error.add_note(repr(content[:4000]))
            raise
    assert all(refused.values()), f"the changes of some level break nothing: {refused}"
