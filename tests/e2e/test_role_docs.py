"""The pages of docs/roles: their commands are typed against an agent with the sample day, and print what they show.

A line that a page shows is a line that came, in that order; `…` stands for anything, and blanks for any blanks.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from vedette.app.ledger import read_ledger
from vedette.app.sample_day.day import CLUSTER
from vedette.app.sample_day.player import Player
from vedette.journal.sqlite import DataFolder

from .agent import Agent, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

DOCS: Final = Path(__file__).parents[2] / "docs"
ROLES: Final = ("analyst", "sre", "operator", "developer")
FENCE: Final = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINES_MAX: Final = 120
MARK: Final = "~ what follows is of the next snippet ~"


def text(role: str) -> str:
    return (DOCS / "roles" / f"{role}.md").read_text("utf-8")


def snippets(role: str, language: str) -> dict[str, str]:
    """The named fences of one language, in their order."""
    return {name: body for kind, name, body in FENCE.findall(text(role)) if kind == language and name}


def missing(shown: str, printed: str) -> str | None:
    """Return the first line that is shown and was not printed behind those before it."""
    came = iter(printed.splitlines())
    for line in shown.splitlines():
        words = (r"\s+".join(map(re.escape, part.split())) for part in line.split("…"))
        pattern = re.compile(".*".join(words))
        if not any(pattern.search(each) for each in came):
            return line
    return None


class Reader:
    """Somebody who reads a page, with a terminal."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        vedette = agent.folder / ".venv" / "bin" / "vedette"
        vedette.parent.mkdir(parents=True)
        vedette.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vedette "$@"\n')
        vedette.chmod(0o755)
        self.environment = {
            **agent.environment,
            "PATH": f"{vedette.parent}:{os.environ['PATH']}",
            "VEDETTE_CONFIG": str(agent.config),
            "VEDETTE_DATA_DIR": str(agent.data.path),
        }

    async def read(self, role: str) -> dict[str, str]:
        """Type all snippets of a page into one shell, and return what each printed."""
        outputs, commands = snippets(role, "text"), snippets(role, "sh")
        assert outputs.keys() <= commands.keys(), "what is shown is what a snippet of that name prints"
        done = await asyncio.to_thread(self.type_, commands.values())
        printed = dict(zip(commands, done.stdout.split(MARK), strict=False))
        assert done.returncode == 0, list(printed.items())[-1]
        for name, shown in outputs.items():
            gone = missing(shown, printed[name])
            assert gone is None, f"docs/roles/{role}.md, {name}: {gone!r} is not in\n{printed[name]}"
        return printed

    def type_(self, bodies: Iterable[str]) -> subprocess.CompletedProcess[str]:
        metrics = self.agent.settings["metrics"]["listen"]
        script = f"printf '{MARK}'\n".join(bodies).replace("127.0.0.1:9466", metrics)
        return subprocess.run(
            ["/bin/bash", "-eu", "-o", "pipefail", "-c", f"exec 2>&1\n{script}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=self.environment,
            cwd=self.agent.folder,
            text=True,
            check=False,
        )


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """With the sample day, and the rules of the operators' page as yet out of force."""
    agent = Agent(tmp_path, rules="")
    (tmp_path / "rules").mkdir()
    agent.settings |= {
        "rules": {"packs": ["starter"], "paths": ["rules"]},
        "cluster": CLUSTER,
        "metrics": {"listen": f"127.0.0.1:{free_port()}"},
    }
    agent.configure()
    await agent.start()
    falco, audit = (f"http://127.0.0.1:{port}" for port in (agent.falco, agent.audit))
    await Player([f"{falco}/", f"{falco}/intake/<format>", f"{audit}/k8s-audit"]).play(play_s=1)
    await agent.settled()
    yield agent
    if agent.alive:
        assert agent.end() == 0
    agent.assert_balanced()


@pytest.mark.simulation
@pytest.mark.timeout(180)
async def test_analysts(agent: Agent) -> None:
    printed = await Reader(agent).read("analyst")
    assert printed["worst"].count("critical") == 4
    assert printed["around"].count("nsenter-53ded") >= 5
    _, *still_new = printed["close"].splitlines()
    assert len([line for line in still_new if " critical " in line]) == 3, "of four"


@pytest.mark.simulation
@pytest.mark.timeout(180)
async def test_sres(agent: Agent) -> None:
    await Reader(agent).read("sre")
    assert not agent.alive, "the page stops it for the back-up"
    original, restored = (read_ledger(DataFolder(path)) for path in (agent.data.path, agent.folder / "restored"))
    assert original == restored
    agent.settings["data_dir"] = str(agent.folder / "restored")
    agent.data = DataFolder(agent.folder / "restored")
    agent.configure()
    await agent.start()
    await agent.settled()
    assert len(agent.alerts()) == sum(1 for _ in agent.run("alerts", "list", "--limit", 999, "--format", "json").lines)
    assert agent.alerts(), "it goes on from what was backed up"


@pytest.mark.simulation
@pytest.mark.timeout(240)
async def test_operators(agent: Agent) -> None:
    files = snippets("operator", "yaml")
    (agent.folder / "rules" / "binding.yml").write_text(files["rules/binding.yml"])
    agent.settings |= yaml.safe_load(files["vedette.yaml"])
    agent.configure()
    await Reader(agent).read("operator")
    assert [file.name for file in (agent.folder / "rules").iterdir()] == ["binding.yml"], "no exception was written"
    in_shadow = agent.run("rules", "shadow", "--format", "json").lines
    assert [rule["title"] for rule in in_shadow] == [yaml.safe_load(files["rules/binding.yml"])["title"]]


def test_developers() -> None:
    """The sink of the page keeps the contract; one that forgets what came would not."""
    source = snippets("developer", "python")["sink.py"]
    done = run_python(source)
    assert done.returncode == 0, done.stderr
    forgetful = run_python(source.replace("kept is None or kept.version < revision.version", "kept is None"))
    assert forgetful.returncode != 0
    assert "AssertionError" in forgetful.stderr


def run_python(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


# --- the pages --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ROLES)
def test_a_page_is_short_and_all_of_it_is_run(role: str) -> None:
    assert len(text(role).splitlines()) <= LINES_MAX
    unnamed = [body for language, name, body in FENCE.findall(text(role)) if not name and language != "console"]
    assert unnamed == [], "a fence with a name is typed by a test"
    assert snippets(role, "sh") or snippets(role, "python")


@pytest.mark.parametrize("page", ["README.md", "capacity.md", *(f"roles/{role}.md" for role in ROLES)])
def test_links_lead_somewhere(page: str) -> None:
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (DOCS / page).read_text("utf-8"))
    assert found
    local = [link for link in found if "://" not in link]
    assert [link for link in local if not (DOCS / page).parent.joinpath(link).exists()] == []


def test_the_entry_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", (DOCS / "README.md").read_text("utf-8")))
    pages = {
        path.relative_to(DOCS).as_posix()
        for folder in ("", "rules", "sinks", "sources")
        for path in (DOCS / folder).glob("*.md")
    }
    assert sorted(pages - linked - {"README.md"}) == [], "add it to docs/README.md"


@pytest.mark.parametrize("page", [f"roles/{role}.md" for role in ROLES])
def test_anchors_are_headings(page: str) -> None:
    for link, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", (DOCS / page).read_text("utf-8")):
        target = (DOCS / page).parent / link if link else DOCS / page
        headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in slugs, f"{page}: {link}#{anchor}"


def test_folders_that_developers_are_shown_are_there() -> None:
    named = re.findall(r"`((?:vedette|collector|detectors|sinks|tests)(?:/[\w.]+)*)`", text("developer"))
    assert len(named) > 12
    assert [path for path in named if not (DOCS.parent / path).exists()] == []


@pytest.mark.parametrize(
    ("shown", "printed", "gone"),
    [
        ("a  1\nb … 2\n", "x\na 1 y\nb 7 2\n", None),
        ("a\nb\n", "b\na\n", "b"),
        ("… c\n", "a b\n", "… c"),
        ("a.c\n", "abc\n", "a.c"),
    ],
    ids=["blanks and anything", "order counts", "what did not come", "no pattern"],
)
def test_what_is_shown_has_to_come(shown: str, printed: str, gone: str | None) -> None:
    assert missing(shown, printed) == gone
