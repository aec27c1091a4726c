"""What the end-to-end tests share beside `agent`: the command line, called in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from vedette.app.cli import main

from .agent import SPAWNED, Outcome


@pytest.fixture
def vedette(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call the command line without the time that a process takes to start."""
    monkeypatch.delenv("VEDETTE_CONFIG", raising=False)
    monkeypatch.delenv("VEDETTE_DATA_DIR", raising=False)

    def call(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture(autouse=True, scope="module")
def no_agent_stays() -> Iterator[None]:
    yield
    while SPAWNED:
        process = SPAWNED.pop()
        process.kill()
        process.wait()
