"""What fuzzing has found stays tried: every input of the corpus, in every run of the tests."""

import runpy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from collector.decoders import DECODERS
from collector.decoders.falco import Falco
from vedette.schema.event import Decoder, Document

HARNESS: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("harness.py")))
INPUTS = [path for name in DECODERS for path in sorted((HARNESS["CORPUS"] / name).iterdir())]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_of_the_corpus(path: Path) -> None:
    HARNESS["try_out"](*HARNESS["imports"](DECODERS[path.parent.name]), path.read_bytes())
    HARNESS["check_time"](DECODERS[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_has_a_target_and_seeds(name: str) -> None:
    assert Path(__file__).with_name(f"fuzz_{name}.py").is_file()
    assert sum(path.parent.name == name for path in INPUTS) >= 5


class Crashing(Falco):
    def time_ns(self, head: Document) -> int:
        return int(head["time"])


def test_the_target_notices_an_exception() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        HARNESS["try_out"](*HARNESS["imports"](Crashing()), b'{"rule":"x","time":"noon"}')


@pytest.mark.parametrize(("power", "noticed"), [(1, False), (2, True)], ids=["linear", "quadratic"])
def test_the_target_notices_quadratic_time(monkeypatch: pytest.MonkeyPatch, power: int, noticed: bool) -> None:
    def seconds(decoder: Decoder, body: bytes) -> float:
        return 1e-4 * float(len(body) ** power)

    check_time = HARNESS["check_time"]
    monkeypatch.setitem(check_time.__globals__, "seconds", seconds)
    with pytest.raises(AssertionError, match="8 times") if noticed else nullcontext():
        check_time(DECODERS["falco"], b'{"rule":"x"}')
