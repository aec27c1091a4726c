"""Falco's rules in the engine: found by their anchors, decided by their conditions, together."""

from typing import Any, Final

import msgspec
import pytest

from collector.decoders import DECODERS
from collector.decoders.kube_audit import KubeAudit
from detectors.engine import Engine
from detectors.falco import load_falco_rules
from detectors.falco.audit_event import Mode
from detectors.falco.evaluation import FalcoOptions, engine_rules
from detectors.falco.matching import RuleMatching
from detectors.rule import RuleText
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

RULES: Final = """
- rule: off
  desc: d
  condition: ka.verb exists
  output: o
  priority: debug
  source: k8s_audit
  enabled: false
- rule: privileged
  desc: d
  condition: >
    ka.verb = create and ka.target.resource in (pods, deployments)
    and ka.req.pod.containers.privileged intersects (true)
  output: o
  priority: critical
  source: k8s_audit
  tags: [T1610]
- rule: outsider
  desc: d
  condition: not ka.user.name startswith "system:" and jevt.value[/stage] = ResponseComplete
  output: o
  priority: notice
  source: k8s_audit
- rule: write
  desc: d
  condition: ka.verb in (create, patch)
  output: o
  priority: debug
  source: k8s_audit
- rule: execve
  desc: d
  condition: evt.type = execve
  output: o
  priority: debug
"""
ANY_DOCUMENT: Final = """
- rule: any document
  desc: d
  condition: jevt.value[/verb] = create or jevt.value[/rule] = Shell
  output: o
  priority: debug
  source: json
"""
POD: Final = {"spec": {"containers": [{"securityContext": {"privileged": True}}]}}
EVENT: Final = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "1",
    "stage": "ResponseComplete",
    "verb": "create",
    "user": {"username": "eve"},
    "objectRef": {"resource": "pods"},
    "requestObject": POD,
}
ALERT: Final = {
    "rule": "Shell",
    "priority": "Notice",
    "time": "2026-11-21T10:00:00Z",
    "output": "",
    "output_fields": {},
}


class Counting(KubeAudit):
    """Counts how often a whole event is decoded."""

    whole = 0

    def decode_all(self, payload: bytes, context: str) -> dict[str, Any]:
        self.whole += 1
        return super().decode_all(payload, context)


def engine(options: FalcoOptions, decoder: KubeAudit | None = None, text: str = RULES + ANY_DOCUMENT) -> Engine:
    loaded = load_falco_rules([RuleText("r.yaml", text, "p")])
    assert loaded.errors == ()
    return Engine(engine_rules(loaded.rules, options), DECODERS if decoder is None else {"kube_audit": decoder})


def event(document: dict[str, Any], name: str = "kube_audit", decoder: KubeAudit | None = None) -> Event:
    payload = msgspec.json.encode(document)
    used = decoder or DECODERS[name]
    return Event(Record(1, 1, payload, Run("test", name, 1), 1), used, used.decode(payload, ""))


def titles(found: Engine, given: Event) -> list[str]:
    return [match.rule.title for match in found.match(given)]


ALL: Final = FalcoOptions()
COMPAT: Final = FalcoOptions(Mode.COMPAT)
FIRST: Final = FalcoOptions(rule_matching=RuleMatching.FIRST)


@pytest.mark.parametrize(
    ("options", "changes", "wanted"),
    [
        (ALL, {}, ["privileged", "outsider", "write", "any document"]),
        (FIRST, {}, ["privileged", "any document"]),
        (FIRST, {"user": {"username": "system:x"}, "requestObject": {}}, ["write", "any document"]),
        (ALL, {"verb": "get", "stage": "RequestReceived"}, []),
        (ALL, {"user": {}, "verb": "get"}, ["outsider"]),
        (ALL, {"verb": "patch", "user": {"username": "system:x"}}, ["write"]),
        (COMPAT, {"requestObject": {"spec": {"template": POD}}}, ["outsider", "write", "any document"]),
        (ALL, {"requestObject": {"spec": {"template": POD}}}, ["privileged", "outsider", "write", "any document"]),
    ],
)
def test_audit_events(options: FalcoOptions, changes: dict[str, Any], wanted: list[str]) -> None:
    assert titles(engine(options), event(EVENT | changes)) == wanted


@pytest.mark.parametrize("options", [ALL, FIRST], ids=["all", "first"])
def test_what_was_asked_before_changes_nothing(options: FalcoOptions) -> None:
    events = [event(EVENT), event(EVENT | {"verb": "get"}), event(ALERT, "falco"), event(EVENT)]
    alone = [titles(engine(options), each) for each in events]
    together = engine(options)
    assert [titles(together, each) for each in events] == alone
    assert alone[0] == alone[3] != alone[1]


def test_rules_of_the_source_json_see_the_documents_of_every_decoder() -> None:
    assert titles(engine(ALL), event(ALERT, "falco")) == ["any document"]


def test_what_only_falco_can_see_and_what_is_disabled_is_dead_with_the_reason() -> None:
    assert [(rule.info.title, reason) for rule, reason in engine(ALL).dead] == [
        ("off", "it is disabled (`enabled: false`)"),
        ("execve", "events of Falco's source `syscall` are seen by Falco alone, which evaluates it and reports"),
    ]


def test_a_match_explains_itself_and_is_rolled_up_by_the_log_source() -> None:
    given = event(EVENT | {"objectRef": {"resource": "pods", "namespace": "shop"}})
    match = engine(ALL).match(given)[0]
    assert match.rule.attack == ("T1610",)
    assert match.dedup_values() == ("eve", "shop")
    assert [(clause.field, clause.test, clause.path, clause.value) for clause in match.explain()] == [
        ("ka.verb", "= create", "verb", "create"),
        ("ka.target.resource", "in (pods, deployments)", "objectRef.resource", "pods"),
        ("ka.req.pod.containers.privileged", "intersects (true)", "", '["true"]'),
    ]


def test_only_fields_of_the_bodies_need_the_whole_event() -> None:
    decoder = Counting()
    found = engine(ALL, decoder, RULES)
    assert titles(found, event(EVENT | {"objectRef": {"resource": "nodes"}, "verb": "patch"}, decoder=decoder)) == [
        "outsider",
        "write",
    ]
    assert decoder.whole == 0
    assert "privileged" in titles(found, event(EVENT, decoder=decoder))
    assert decoder.whole == 1


def test_a_broken_body_hides_nothing_of_the_head() -> None:
    decoder = DECODERS["kube_audit"]
    payload = msgspec.json.encode(EVENT).replace(b'"privileged":true', b'"privileged":1e999')
    given = Event(Record(1, 1, payload, Run("test", "kube_audit", 1), 1), decoder, decoder.decode(payload, ""))
    assert titles(engine(ALL), given) == ["outsider", "write", "any document"]
    assert given.broken is not None


def test_the_screen_lets_go_what_no_rule_can_match() -> None:
    decoder = DECODERS["kube_audit"]
    look = engine(ALL, text=RULES).screen(decoder)
    assert look is not None
    quiet = EVENT | {"verb": "get", "user": {"username": "system:x"}}
    assert [look.possible(msgspec.json.encode(each)) == 0 for each in (EVENT, quiet)] == [False, True]


def test_content_hashes_tell_how_rules_are_run() -> None:
    options = [ALL, ALL, FIRST, COMPAT]
    assert (
        len({rule.content_hash for each in options for rule in engine(each).rules if rule.info.title == "write"}) == 3
    )
