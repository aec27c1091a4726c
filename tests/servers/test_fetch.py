"""Fetching says what it lacks in one go, and never hands out what it cannot vouch for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import fetch

MAVEN = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) echo changed > "${argument#*=}/opensearch.zip" ;; esac; done
"""


def run(*arguments: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, fetch.__file__, *arguments]
    variables = os.environ | {"VEDETTE_TESTS_CACHE": str(cache)} | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_all_that_is_lacking_is_listed_at_once(tmp_path: Path) -> None:
    done = run("opensearch-3", "prometheus", cache=tmp_path, PATH="/nowhere")
    assert done.returncode == 1
    listed = {line.partition(":")[0] for line in done.stderr.splitlines()}
    assert {"  - mvn", "  - apt-get"} <= listed
    assert "fetching" not in done.stderr


def test_a_download_with_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mvn").write_text(MAVEN)
    (tmp_path / "mvn").chmod(0o755)
    (tmp_path / "release").write_text('JAVA_VERSION="25.0.1"\n')
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run("opensearch-3", cache=tmp_path / "cache", PATH=path, JAVA_HOME=str(tmp_path))
    assert done.returncode == 1
    assert f"expected {fetch.OPENSEARCH_3_SERVER.sha256}: do not use it" in done.stderr
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


def test_an_unknown_name_is_answered_with_those_known(tmp_path: Path) -> None:
    done = run("cassandra", cache=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"fetch.py: no such server: cassandra; there are {', '.join(fetch.PARTS)}\n"


def test_a_program_looks_for_its_templates_where_it_runs() -> None:
    built = b"\0/usr/share/prometheus/alertmanager355\0/usr/share/prometheus/alertmanager/ui\0"
    moved = fetch.relocated(built)
    assert len(moved) == len(built), "offsets stay"
    path, _, rest = moved[1:].partition(b"355")
    assert os.path.normpath(path.decode()) == fetch.TEMPLATES
    assert rest == b"\0/usr/share/prometheus/alertmanager/ui\0"


@pytest.mark.parametrize(
    "program", [b"", b"/usr/share/prometheus/alertmanager/" * 2, b"/usr/share/prometheus/alertmanager1" * 2]
)
def test_a_program_that_is_built_otherwise_is_refused(program: bytes) -> None:
    with pytest.raises(fetch.FetchError, match="look at `relocated`"):
        fetch.relocated(program)
