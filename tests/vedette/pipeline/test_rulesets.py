"""Rule sets as they lie in the log: they carry how rules are run, and old ones stay readable."""

from pathlib import Path
from types import SimpleNamespace
from typing import Final

import msgspec
import pytest

from collector.decoders import DECODERS
from detectors import literal_scan
from detectors.engine import Engine
from detectors.falco.audit_event import Mode
from detectors.falco.evaluation import FalcoOptions
from detectors.falco.matching import RuleMatching
from detectors.index import TEXT_RULES_MIN
from detectors.rule import RuleText
from vedette.pipeline import rulesets
from vedette.pipeline.rulesets import compile_rules, encode_rules
from vedette.schema.errors import RuleError
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

SIGMA: Final = """
title: Sigma
id: s
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: create}, condition: selection}
"""
FALCO: Final = """
- {rule: One, desc: d, condition: ka.verb = create, output: o, priority: debug, source: k8s_audit}
- {rule: Two, desc: d, condition: ka.req.pod.host_ipc intersects (true), output: o, priority: debug, source: k8s_audit}
"""
LATER: Final = """
- {rule: One, condition: and ka.verb exists, override: {condition: append}}
"""
TEXTS: Final = [RuleText(name, text, name) for name, text in (("z.yml", SIGMA), ("y.yaml", FALCO), ("a.yaml", LATER))]
DEPLOYMENT: Final = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "1",
    "stage": "ResponseComplete",
    "verb": "create",
    "requestObject": {"spec": {"template": {"spec": {"hostIPC": True}}}},
}


def found(engine: Engine) -> list[str]:
    decoder, payload = DECODERS["kube_audit"], msgspec.json.encode(DEPLOYMENT)
    event = Event(Record(1, 1, payload, Run("s", "kube_audit", 1), 1), decoder, decoder.decode(payload, ""))
    return [match.rule.title for match in engine.match(event)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (FalcoOptions(), ["Sigma", "One", "Two"]),
        (FalcoOptions(compat=Mode.COMPAT), ["Sigma", "One"]),
        (FalcoOptions(rule_matching=RuleMatching.FIRST), ["Sigma", "One"]),
    ],
    ids=["default", "falco", "first"],
)
def test_a_set_carries_how_its_rules_are_run(options: FalcoOptions, expected: list[str]) -> None:
    assert found(compile_rules(encode_rules(TEXTS, options), DECODERS)) == expected


def test_settings_and_order_make_another_set() -> None:
    sets = [
        encode_rules(TEXTS),
        encode_rules(TEXTS, FalcoOptions()),
        encode_rules(reversed(TEXTS)),
        encode_rules(TEXTS, FalcoOptions(rule_matching=RuleMatching.FIRST)),
    ]
    assert sets[0] == sets[1]
    assert len(set(sets)) == 3


def test_a_set_of_an_earlier_version_is_read_as_it_was_written() -> None:
    content = b'[["z.yml","z.yml",%s]]' % msgspec.json.encode(SIGMA)
    assert found(compile_rules(content, DECODERS)) == ["Sigma"]


@pytest.mark.parametrize(
    "texts", [[*TEXTS[:2], RuleText("b.yaml", "- rule: x\n", "")], TEXTS[2:]], ids=["broken", "order"]
)
def test_one_broken_file_refuses_the_set(texts: list[RuleText]) -> None:
    with pytest.raises(RuleError, match=r"^[ab]\.yaml:\d+:\d+: "):
        compile_rules(encode_rules(texts), DECODERS)


def test_what_is_compiled_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules and scans are read from the cache: neither is compiled a second time, and both find the same."""
    rules = "\n---\n".join(
        f"title: R{number}\nlogsource: {{product: falco}}\n"
        f"detection: {{one: {{rule|contains: 'needle {number}!'}}, condition: one}}"
        for number in range(TEXT_RULES_MIN)
    )
    content = encode_rules([RuleText("r.yml", rules, "mine")])
    decoder, payload = DECODERS["falco"], b'{"rule": "a needle 7! in hay", "priority": "Notice", "output_fields": {}}'
    event = Event(Record(1, 1, payload, Run("s", "falco", 1), 1), decoder, decoder.decode(payload, ""))
    first = compile_rules(content, DECODERS, tmp_path / "cache" / "rules")
    monkeypatch.setattr(rulesets, "load_rules", lambda *_, **__: pytest.fail("loaded again"))
    there = {name: getattr(literal_scan.hyperscan, name) for name in ("loadb", "Scratch", "HS_MODE_BLOCK")}
    monkeypatch.setattr(literal_scan, "hyperscan", SimpleNamespace(**there, HyperscanError=()))
    again = compile_rules(content, DECODERS, tmp_path / "cache" / "rules")
    assert [match.rule.title for match in again.match(event)] == ["R7"]
    assert [match.rule for match in again.match(event)] == [match.rule for match in first.match(event)]
