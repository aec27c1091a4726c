"""A screen lets go what no rule can match, never what one matches, and remembers without changing its mind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.lookup import Lookup
from detectors.packs import shipped_pack_texts
from detectors.predicate import And, Atom, Not, Op, Or, Predicate
from detectors.rule import Rule
from detectors.screen import OUTLINE_BYTES_MAX, OUTLINES_MAX, Screen, screen
from detectors.sigma import load_rules
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, LogSource
from vedette.schema.level import Level
from vedette.schema.outline import Outline
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo

AUDIT = DECODERS["kube_audit"]
RUN = Run("audit", "kube_audit", 1)

CREATE = Atom("verb", Op.EQUALS, "create")
EXEC = Atom("objectRef.subresource", Op.EQUALS, "exec")
DENIED = Atom("responseStatus.code", Op.EQUALS, 403)
MASTERS = Atom("user.groups", Op.EQUALS, "system:masters")
OUTSIDE = Atom("sourceIPs", Op.CIDR, "203.0.113.0/24")
ALLOWED = Atom("annotations.authorization.k8s.io/decision", Op.EQUALS, "allow")
CURL = Atom("userAgent", Op.PREFIX, "curl/")
NAMED = Atom("objectRef.name", Op.PREFIX, "evil")
SHELL = Atom("requestURI", Op.CONTAINS, "command=sh")
BODY = Atom("requestObject.spec.privileged", Op.EQUALS, True)
ABSENT = Atom("impersonatedUser.username", Op.NULL)
ATOMS = [CREATE, EXEC, DENIED, MASTERS, OUTSIDE, ALLOWED, CURL, NAMED, SHELL, BODY, ABSENT]


def engine(*predicates: Predicate) -> Engine:
    rules = [
        Rule(RuleInfo(str(number), "title", Level.LOW), LogSource("kubernetes"), predicate, "")
        for number, predicate in enumerate(predicates)
    ]
    return Engine(rules, DECODERS)


def letting_go(found: Screen | None) -> Callable[[bytes], bool]:
    assert found is not None, "these rules can be screened for"
    return lambda payload: found.possible(payload) == 0


def screen_of(*predicates: Predicate) -> Callable[[bytes], bool]:
    return letting_go(engine(*predicates).screen(AUDIT))


def event(**changes: Any) -> bytes:
    doc: dict[str, Any] = {
        "level": "Metadata",
        "auditID": "a",
        "stage": "ResponseComplete",
        "verb": "get",
        "user": {"username": "u", "groups": ["g"]},
        "sourceIPs": ["10.0.0.1"],
        "userAgent": "kubectl",
        "objectRef": {"resource": "pods", "namespace": "n", "name": "p"},
        "responseStatus": {"metadata": {}, "code": 200},
        "annotations": {"authorization.k8s.io/decision": "allow"},
    }
    return json.dumps({key: value for key, value in (doc | changes).items() if value != "(none)"}).encode()


@pytest.mark.parametrize(
    ("payload", "passed"),
    [
        pytest.param(event(), True, id="nothing asked for"),
        pytest.param(event(verb="create"), True, id="one of two"),
        pytest.param(event(verb="create", objectRef={"resource": "pods", "subresource": "exec"}), False, id="both"),
        pytest.param(event(verb="CREATE", objectRef={"subresource": "Exec"}), False, id="case"),
        pytest.param(event(verb=["create"]), False, id="a list where a string is due"),
        pytest.param(event(verb=None), False, id="null"),
        pytest.param(event(objectRef=[{"subresource": "exec"}]), False, id="a list of objects"),
        pytest.param(event(stage="(none)"), False, id="no stage"),
        pytest.param(event(kind="Event", apiVersion="audit.k8s.io/v1"), True, id="a line of the log"),
        pytest.param(event(kind="Event", apiVersion="v1"), False, id="another Event"),
        pytest.param(event(kind="EventList", items=[]), False, id="a list of events"),
        pytest.param(event(user={"username": "ü"}), True, id="not ASCII"),
        pytest.param(event().replace(b'"u"', b'"\xff"'), False, id="not UTF-8"),
        pytest.param(event() + b"}", False, id="more than JSON"),
        pytest.param(event()[:-1], False, id="less than JSON"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"[]", False, id="a list"),
    ],
)
def test_a_record_is_let_go(payload: bytes, passed: bool) -> None:
    passes = screen_of(And((CREATE, EXEC)), And((DENIED, MASTERS)))
    assert [passes(payload), passes(payload)] == [passed, passed]


@pytest.mark.parametrize(
    ("payload", "passed"),
    [
        pytest.param(event(requestURI="/api?command=sh"), False, id="what it asks for"),
        pytest.param(event(requestURI="/api?command=id"), True, id="something else"),
        pytest.param(event(requestURI=""), True, id="nothing"),
        pytest.param(event(), True, id="no URI"),
        pytest.param(event(requestURI=None), False, id="null"),
        pytest.param(event(requestURI=["/api?command=sh"]), False, id="a list"),
        pytest.param(event(requestURI="/api?command=id", userAgent="curl/8"), False, id="the other choice"),
        pytest.param(event(requestURI="/api?command=sh", verb="create"), True, id="another verb"),
    ],
)
def test_a_field_of_many_values_is_asked_apart(payload: bytes, passed: bool) -> None:
    passes = screen_of(And((Atom("verb", Op.EQUALS, "get"), Or((SHELL, CURL)))))
    assert [passes(payload), passes(payload)] == [passed, passed]


def test_another_reading_of_a_dotted_name_is_left_to_the_decoder() -> None:
    passes = screen_of(Atom("annotations.authorization.k8s.io/decision", Op.EQUALS, "forbid"))
    assert passes(event())
    assert not passes(event(annotations={"authorization": {"k8s": {"io/decision": "forbid"}}}))
    assert passes(event(annotations={"authorization": "forbid"}))


@pytest.mark.parametrize(
    "predicate",
    [NAMED, SHELL, BODY, Not(CREATE), Atom(None, Op.CONTAINS, "x"), Or((CREATE, NAMED))],
    ids=["name", "URI", "body", "exclusion alone", "keyword", "one branch of two"],
)
def test_rules_that_ask_elsewhere_are_not_screened_wrongly(predicate: Predicate) -> None:
    rules = engine(predicate, And((CREATE, EXEC)))
    found = rules.screen(AUDIT)
    loud = event(objectRef={"name": "evil"}, requestURI="?command=sh&x", requestObject={"spec": {"privileged": True}})
    assert rules.match(matchable(loud))
    assert found is None or found.possible(loud) != 0


def test_decoders_without_outlines_and_formats_without_rules_have_no_screen() -> None:
    assert engine(CREATE).screen(DECODERS["falco"]) is None
    assert engine().screen(AUDIT) is None


def matchable(payload: bytes) -> Event:
    return Event(Record(1, 0, payload, RUN, 1), AUDIT, AUDIT.decode(payload, ""))


predicates = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)
strange = st.sampled_from(
    ["(none)", None, 1, True, "", [], {}, ["create"], {"username": "x"}, "create", "exec", "evil", 403]
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "verb": st.sampled_from(["create", "Create", "get"]) | strange,
        "user": st.fixed_dictionaries(
            {"groups": st.sampled_from([["system:masters"], ["g"], "system:masters"]) | strange}
        )
        | strange,
        "sourceIPs": st.sampled_from([["203.0.113.9"], ["10.0.0.1", "203.0.113.9"], []]) | strange,
        "userAgent": st.sampled_from(["curl/8", "kubectl"]) | strange,
        "objectRef": st.fixed_dictionaries({}, optional={"subresource": strange, "name": strange, "resource": strange})
        | strange,
        "responseStatus": st.fixed_dictionaries({"code": st.sampled_from([403, 403.0, "403", 200]) | strange})
        | strange,
        "annotations": st.dictionaries(
            st.sampled_from(["authorization.k8s.io/decision", "authorization", "authorization.k8s"]), strange
        )
        | st.just({"authorization": {"k8s": {"io/decision": "allow"}}})
        | strange,
        "impersonatedUser": strange,
        "requestURI": st.sampled_from(["/x?command=sh", "/x"]) | strange,
        "requestObject": st.just({"spec": {"privileged": True}}) | strange,
        "stage": strange,
        "kind": st.sampled_from(["Event", "Pod"]),
    },
)


@given(st.lists(predicates, min_size=1, max_size=4), st.lists(fields, min_size=1, max_size=6))
def test_going_on_from_what_a_screen_says_changes_nothing(rules: list[Predicate], docs: list[dict[str, Any]]) -> None:
    asked = engine(*rules)
    look = asked.screen(AUDIT)
    for payload in (event(**doc) for doc in docs):
        possible = None if look is None else look.possible(payload)
        try:
            plain = asked.match(matchable(payload))
        except DecodeError:
            assert possible is None
            continue
        going_on = asked.match(matchable(payload), possible)
        assert [match.rule for match in going_on] == [match.rule for match in plain]
        assert possible != 0 or plain == []


@given(st.lists(fields, max_size=8))
def test_the_memory_changes_no_answer(docs: list[dict[str, Any]]) -> None:
    remembering = screen_of(And((CREATE, EXEC)), And((DENIED, MASTERS)), CURL)
    payloads = [event(**doc) for doc in docs]
    fresh = [screen_of(And((CREATE, EXEC)), And((DENIED, MASTERS)), CURL)(payload) for payload in payloads]
    assert [remembering(payload) for payload in payloads] == fresh
    assert [remembering(payload) for payload in payloads] == fresh


def test_starter_rules_are_screened_for() -> None:
    rules = load_rules(shipped_pack_texts()).rules
    passes = letting_go(Engine(rules, DECODERS).screen(AUDIT))
    assert passes(event())
    assert not passes(event(user={"username": "system:anonymous"}, objectRef={"resource": "secrets"}, verb="list"))


class Word(msgspec.Struct, frozen=True):
    word: str


def counting() -> tuple[Callable[[bytes], bool], list[str]]:
    """A screen of outlines with one word, and what it had to look up."""
    asked: list[str] = []

    def possible(doc: dict[str, Any]) -> int:
        asked.append(doc["word"])
        return 0

    look_up: Lookup = possible
    outline = Outline(frozenset({"word"}), lambda payload: Word(payload.decode()))
    return letting_go(screen(outline, look_up, lambda _: 0, 1, None)), asked


def test_an_outline_is_looked_up_once() -> None:
    passes, asked = counting()
    assert [passes(b"a"), passes(b"b"), passes(b"a")] == [True, True, True]
    assert asked == ["a", "b"]


def test_long_outlines_are_not_remembered() -> None:
    passes, asked = counting()
    word = "x" * OUTLINE_BYTES_MAX
    assert [passes(word.encode()), passes(word.encode())] == [True, True]
    assert asked == [word, word]


def test_a_flood_of_outlines_forgets_all_but_two_generations_and_what_is_in_use() -> None:
    passes, asked = counting()
    passes(b"first")
    for number in range(3 * OUTLINES_MAX):
        passes(b"%d" % number)
        if number % 1000 == 0:
            passes(b"used")
    asked.clear()
    passes(b"used")
    assert asked == []
    passes(b"first")
    assert asked == ["first"]
