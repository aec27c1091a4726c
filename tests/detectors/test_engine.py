"""Which rules meet which events, what is decoded for it, and what a match says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from detectors.engine import DEDUP_CHARS_MAX, Engine, bounded_text, dedup_text
from detectors.field_index import FieldIndex
from detectors.index import Index
from detectors.lookup import MEMORY_ENTRIES_MAX
from detectors.predicate import And, Atom, Not, Op, Or, Predicate
from detectors.rule import Rule
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, LogSource
from vedette.schema.level import Level
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo

CREATE = Atom("verb", Op.EQUALS, "create")
SECRETS = Atom("objectRef.resource", Op.EQUALS, "secrets")
PRIVILEGED = Atom("requestObject.spec.privileged", Op.EQUALS, True)


class AuditDecoder:
    """A decoder whose head leaves out the request body, and which counts how often the whole was asked for."""

    name = "kube_audit"
    logsources = (LogSource("kubernetes", "audit"), LogSource("kubernetes", "audit", "application"))
    dedup_by = ("user", "objectRef.namespace")
    head_fields = frozenset({"verb", "objectRef", "user"})

    def __init__(self) -> None:
        self.decoded = 0

    def decode_all(self, payload: bytes, context: str) -> dict[str, Any]:
        self.decoded += 1
        if payload == b"broken":
            raise DecodeError("not JSON")
        return dict(msgspec.json.decode(payload))


def rule(predicate: Predicate, logsource: LogSource = LogSource("kubernetes"), **info: Any) -> Rule:  # noqa: B008
    return Rule(RuleInfo("id", "title", Level.LOW, **info), logsource, predicate, "")


def event(decoder: AuditDecoder, payload: bytes | None = None, **doc: Any) -> Event:
    head = {key: value for key, value in doc.items() if key in decoder.head_fields}
    record = Record(7, 0, payload or msgspec.json.encode(doc), Run("s", "kube_audit", 1), 1)
    return Event(record, decoder, head)  # type: ignore[arg-type]  # the engine needs no more of a decoder


def engine(rules: list[Rule], decoder: AuditDecoder) -> Engine:
    return Engine(rules, {"kube_audit": decoder})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("logsource", "routed"),
    [
        (LogSource("kubernetes"), True),
        (LogSource("kubernetes", "audit"), True),
        (LogSource("kubernetes", "audit", "application"), True),
        (LogSource(None, "audit"), True),
        (LogSource("linux"), False),
        (LogSource("kubernetes", "audit", "process_creation"), False),
        (LogSource("kubernetes", "events"), False),
    ],
    ids=str,
)
def test_a_rule_meets_events_of_log_sources_that_it_contains(logsource: LogSource, routed: bool) -> None:
    decoder = AuditDecoder()
    made = engine([rule(CREATE, logsource)], decoder)
    assert bool(made.match(event(decoder, verb="create"))) is routed
    assert bool(made.dead) is not routed


def test_a_dead_rule_is_reported_with_the_reason() -> None:
    dead = rule(CREATE, LogSource("linux", None, "process_creation"))
    made = engine([dead, rule(CREATE)], AuditDecoder())
    expected = "no source provides its log source (product: linux, category: process_creation)"
    assert made.dead == [(dead, expected)]


def test_an_event_of_an_unknown_decoder_matches_nothing() -> None:
    other = AuditDecoder()
    other.name = "other"
    assert engine([rule(CREATE)], AuditDecoder()).match(event(other, verb="create")) == []


@pytest.mark.parametrize(
    ("predicate", "unanchored"),
    [
        (CREATE, False),
        (And((CREATE, Not(SECRETS))), False),
        (Or((CREATE, SECRETS)), False),
        (And((PRIVILEGED, CREATE)), False),
        (PRIVILEGED, True),
        (Not(CREATE), True),
        (Or((CREATE, Not(SECRETS))), True),
        (Atom(None, Op.CONTAINS, "x"), True),
        (Atom("user", Op.EXISTS), True),
    ],
    ids=["equals", "and-not", "or", "and-body", "body", "not", "or-not", "keyword", "exists"],
)
def test_rules_that_nothing_rules_out_are_listed(predicate: Predicate, unanchored: bool) -> None:
    made = engine([rule(predicate)], AuditDecoder())
    assert len(made.unanchored) == int(unanchored)


def test_the_body_is_decoded_only_where_the_head_leaves_the_rule_possible() -> None:
    decoder = AuditDecoder()
    made = engine([rule(And((PRIVILEGED, CREATE, Not(Or((PRIVILEGED, SECRETS))))))], decoder)
    assert made.match(event(decoder, verb="get")) == []
    assert made.match(event(decoder, verb="create", objectRef={"resource": "secrets"})) == []
    assert decoder.decoded == 0
    assert made.match(event(decoder, verb="create", objectRef={"resource": "pods"})) == []
    assert decoder.decoded == 1


def test_a_broken_body_hides_nothing_of_the_head() -> None:
    decoder = AuditDecoder()
    broken = event(decoder, b"broken", verb="create", user="eve")
    (match,) = engine([rule(CREATE)], decoder).match(broken)
    assert match.explain()[0].value == "create"
    assert match.dedup_values() == ("eve", "")
    assert engine([rule(And((CREATE, PRIVILEGED)))], decoder).match(broken) == []
    assert broken.broken is not None


def test_matches_come_in_the_order_of_the_rules() -> None:
    decoder = AuditDecoder()
    predicates: list[Predicate] = [Not(SECRETS), CREATE, Or((SECRETS, CREATE))]
    rules = [rule(predicate, description=str(number)) for number, predicate in enumerate(predicates)]
    found = engine(rules, decoder).match(event(decoder, verb="create"))
    assert [match.rule.description for match in found] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("dedup_by", "expected"),
    [
        ((), ("eve", "prod")),
        (("@event",), ("7",)),
        (("verb", "missing", "requestObject.spec.privileged"), ("create", "", "true")),
        (("objectRef", "requestObject.list"), ('{"namespace":"prod","resource":"pods"}', '["a","b"]')),
    ],
    ids=["default", "event", "fields", "containers"],
)
def test_dedup_values(dedup_by: tuple[str, ...], expected: tuple[str, ...]) -> None:
    decoder = AuditDecoder()
    made = event(
        decoder,
        verb="create",
        user="eve",
        objectRef={"resource": "pods", "namespace": "prod"},
        requestObject={"spec": {"privileged": True}, "list": ["a", "b"]},
    )
    (match,) = engine([rule(CREATE, dedup_by=dedup_by)], decoder).match(made)
    assert match.dedup_values() == expected


def test_long_dedup_values_are_bounded_and_stay_distinct() -> None:
    one, other = bounded_text("x" * 300 + "1"), bounded_text("x" * 300 + "2\ud800")
    assert len(one) == len(other) == DEDUP_CHARS_MAX
    assert one != other
    assert bounded_text("x" * DEDUP_CHARS_MAX) == "x" * DEDUP_CHARS_MAX
    assert dedup_text((None,)) == dedup_text(()) == ""


def test_the_memory_of_an_index_is_bounded_and_not_noticed() -> None:
    index = FieldIndex([Atom("user", Op.PREFIX, "system:"), And((Atom("user", Op.CONTAINS, "9"), CREATE))])
    for number in [*range(3 * MEMORY_ENTRIES_MAX), *range(5)]:
        assert index.candidates({"user": f"system:{number}", "verb": "get"}) == 1
        assert index.candidates({"user": f"{number}9", "verb": "CREATE"}) == 2
    assert index.candidates({"user": "system:9" + "x" * 10_000_000, "verb": "create"}) == 3
    sizes = [len(cell.cell_contents) for _, lookup in index._first for cell in _memories(lookup)]
    assert sizes
    assert max(sizes) <= MEMORY_ENTRIES_MAX


def _memories(lookup: Any) -> list[Any]:
    return [cell for cell in lookup.__closure__ if isinstance(cell.cell_contents, dict)]


@pytest.mark.parametrize(
    "values", [(1, True, 1.0, "1"), (True, 1), (0, False, 0.0, "0"), ("x", ["x"], [["x"]])], ids=str
)
def test_values_that_python_takes_for_equal_are_not_confused(values: tuple[Any, ...]) -> None:
    index = Index([Atom("a.b", Op.EQUALS, 1), Atom("a.b", Op.EQUALS, True), Atom("a.b", Op.EQUALS, "x")])
    fresh = [Index([Atom("a.b", Op.EQUALS, v) for v in (1, True, "x")]).candidates({"a": {"b": v}}) for v in values]
    assert [index.candidates({"a": {"b": value}}) for value in values] == fresh
