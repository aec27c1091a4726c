"""The limit of open files: what a configuration needs, and how far a process may raise its own."""

from __future__ import annotations

import resource

import pytest

from vedette.app.config import Config
from vedette.app.open_files import SPARE_FILES, allow_open_files, open_files_needed

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "highest"),
    [
        pytest.param(1024, 4096, (3000, 4096), 4096, id="raised"),
        pytest.param(1024, 2048, (2048, 2048), 2048, id="as far as it goes"),
        pytest.param(1024, INFINITE, (3000, INFINITE), 3000, id="no hard limit"),
        pytest.param(8192, 8192, None, 8192, id="enough"),
        pytest.param(INFINITE, INFINITE, None, 3000, id="no limit at all"),
    ],
)
def test_the_limit_is_raised_as_far_as_wanted_and_allowed(
    soft: int, hard: int, raised: tuple[int, int] | None, highest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: calls.append(limits))
    assert allow_open_files(3000) == highest
    assert calls == ([raised] if raised else [])


def test_each_port_counts_with_its_connections() -> None:
    http = {"http": {"listen": "127.0.0.1:0", "connections_max": 7}}
    files = {"files": {"paths": ["/x"], "format": "falco"}}
    sources = {"a": http, "b": http, "c": files, "d": {"stdin": {"format": "falco"}}}
    off = Config.model_validate({"sources": sources, "metrics": {"listen": ""}})
    on = Config.model_validate({"sources": sources, "metrics": {"connections_max": 5}})
    assert open_files_needed(off) == 7 + 7 + 512 + SPARE_FILES
    assert open_files_needed(on) == open_files_needed(off) + 5
