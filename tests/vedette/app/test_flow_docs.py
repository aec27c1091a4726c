"""The pages on Hubble, Fluent Bit and AWS flow logs: settings are settings, samples are what the text says of them."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from collector.decoders import DECODERS
from collector.decoders.vpc_flow import FIELDS
from detectors.engine import Engine
from detectors.rule import RuleText
from detectors.sigma import load_rules
from vedette.app.config_file import parse_config
from vedette.pipeline.rollup import RollUp
from vedette.schema.event import Event, Loss
from vedette.schema.record import Record, Run
from vedette.schema.settings import RollUpSettings, SourceLabels

from .conftest import Outcome

Call = Callable[..., Outcome]

DOCS: Final = Path(__file__).parents[3] / "docs/sources"
PAGES: Final = {name: (DOCS / f"{name}.md").read_text("utf-8") for name in ("hubble", "fluent-bit", "vpc-flow")}


def blocks(page: str) -> dict[str, str]:
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE))


HUBBLE: Final = blocks("hubble")
FLOWS: Final = HUBBLE["flows.json"].splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_are_settings(page: str, tmp_path: Path) -> None:
    config = parse_config(blocks(page)["vedette.yaml"], "vedette.yaml", environment={}, folder=tmp_path)
    assert config.sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rules").mkdir()
    for name in ("rules/flows.yml", "flows.json"):
        (tmp_path / name).write_text(HUBBLE[name], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_commands_find_what_the_page_says(vedette: Call) -> None:
    checked, scanned = (
        vedette(*shlex.split(line.removeprefix("vedette "))) for line in HUBBLE["try"].splitlines() if line
    )
    assert (checked.status, checked.out) == (0, "")
    assert scanned.status == 0, scanned.err
    found = [(finding["rule"], finding["records"][0]["record"]) for finding in scanned.lines]
    assert found == [("Connection To A Database Dropped By Policy", number) for number in (1, 2, 3, 4)]


@pytest.mark.usefixtures("folder")
def test_a_third_connection_is_one_too_many(vedette: Call, folder: Path) -> None:
    (folder / "more.json").write_text("\n".join([*FLOWS, FLOWS[3].replace("40001", "40002")]), encoding="utf-8")
    done = vedette("scan", "--no-default-rules", "--rules", "rules/flows.yml", "--format", "json", "more.json")
    assert [finding["rule"] for finding in done.lines].count("One Pod Dropped On Many Connections") == 1


def test_all_reports_are_one_alert_and_the_loss_is_told() -> None:
    decoder = DECODERS["hubble"]
    rules = load_rules([RuleText("flows.yml", HUBBLE["rules/flows.yml"].partition("---")[0], "")]).rules
    engine, rollup = Engine(rules, DECODERS), RollUp(RollUpSettings())
    losses: list[Loss] = []
    for number, line in enumerate(FLOWS, 1):
        record = Record(number, number, line.encode(), Run("hubble", "hubble", 1), number)
        event = Event(record, decoder, decoder.decode(record.payload, ""))
        losses += decoder.losses(event.head)
        for match in engine.match(event):
            rollup.add(match, SourceLabels("prod"))
    [alert] = [rollup.state.get(key) for key in rollup.state]
    assert alert is not None
    assert alert.count == 4
    assert (alert.facts.namespace, alert.facts.pod, alert.facts.action) == ("shop", "api-0", "DROPPED POLICY_DENIED")
    assert losses == [Loss("hubble_lost_events", 12)]
    connections = {decoder.decode(line.encode(), "").get("connection") for line in FLOWS}
    assert connections == {"tcp 10.0.1.13:40000 10.0.2.78:5432", "tcp 10.0.1.13:40001 10.0.2.78:5432", None}


def test_the_bodies_are_the_same_event() -> None:
    decoder = DECODERS["kube_audit"]
    lines = blocks("fluent-bit")["bodies"].encode().splitlines()
    assert len(lines) == 4
    for body in (b"[" + b",".join(lines) + b"]", b"\n".join(lines), b"".join(lines)):
        items = [item for piece in decoder.split(body) for item in piece.items]
        docs: list[dict[str, Any]] = [decoder.decode_all(item, "") for item in items]
        assert items == lines
        assert len({decoder.uid(b"", doc) for doc in docs}) == 1
        assert docs[2] == docs[3] == json.loads(lines[0])


def test_the_page_names_every_field_that_aws_added() -> None:
    """Of ranges like `tgw-…` the beginning, of common ones (version 2) what they are about."""
    named = re.findall(r"`([a-z0-9-]+…?)`", PAGES["vpc-flow"])
    beginnings = tuple(name.removesuffix("…") for name in named if name.endswith("…"))
    told = {field for field in FIELDS if field in named or field.startswith(beginnings)}
    plain = {"version", "account-id", "interface-id", "dstaddr", "srcport", "protocol", "packets", "bytes"}
    assert FIELDS - told - plain == {"vpc-id", "subnet-id", "instance-id"}, "said in words"
