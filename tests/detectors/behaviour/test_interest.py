"""Records that nobody watches are let go on their outlines; all others are shown, whatever rules say of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from detectors.behaviour.interest import Wish, interest_in
from detectors.behaviour.watch import Watch
from detectors.engine import Engine
from detectors.loading import load_rules
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from vedette.schema.observation import Observer

AUDIT = DECODERS["kube_audit"]
NEWS = """
title: {title}
id: {title}
logsource: {{product: vedette, category: {category}}}
detection: {{sel: {{{detection}}}, condition: sel}}
behaviour: {{type: {type}, by: [{by}]{more}}}
"""
WRITES = NEWS.format(
    title="writes",
    category="call",
    detection="verb: create, actor|startswith: 'system:serviceaccount:'",
    type="first_seen",
    by="actor",
    more=", value: [verb, resource]",
)
NODES = NEWS.format(
    title="nodes", category="any", detection="'node|exists': true", type="silence", by="source, node", more=""
)
SOURCES = NEWS.format(title="sources", category="any", detection="source: '*'", type="silence", by="source", more="")
RULE = """
title: Exec
id: exec
logsource: {product: kubernetes, service: audit}
detection: {sel: {objectRef.subresource: exec}, condition: sel}
"""
SECONDS = 7


def engine(*texts: str) -> Engine:
    loaded = load_rules([RuleText("b.yml", "\n---\n".join(texts), "mine")])
    assert not loaded.errors
    return Engine(loaded.rules, DECODERS, definitions=loaded.definitions)


def event(actor: str = "system:serviceaccount:shop:cart", verb: str = "get", **changes: Any) -> bytes:
    document = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "a",
        "stage": "ResponseComplete",
        "verb": verb,
        "requestURI": "/api/v1/pods",
        "user": {"username": actor},
        "sourceIPs": ["10.0.0.7"],
        "userAgent": "client",
        "objectRef": {"resource": "pods", "namespace": "shop", "name": "cart-0"},
        "responseStatus": {"code": 200},
        "stageTimestamp": "2026-01-01T00:00:00.000000Z",
    }
    return json.dumps(document | changes).encode()


def looks(found: Engine, *payloads: bytes, second: int = SECONDS) -> list[tuple[bool, bool]]:
    """Of each record: whether a rule is possible, and whether behaviour wants to see it."""
    screen = found.screen(AUDIT)
    assert screen is not None
    bits = [screen.look(payload, second) for payload in payloads]
    return [(bool(each & screen.rules), bool(each & screen.watched)) for each in bits if each is not None]


EXEC: dict[str, Any] = {"objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "cart-0"}}


def test_only_what_somebody_looks_at_is_shown() -> None:
    found = engine(RULE, WRITES)
    assert looks(found, event(), event(verb="create"), event("ann", "create"), event("ann", "get", **EXEC)) == [
        (False, False),
        (False, True),
        (False, False),
        (True, False),
    ]
    assert looks(found, event(verb="create", **EXEC)) == [(True, True)]


def test_without_definitions_nothing_is_shown() -> None:
    assert looks(engine(RULE), event(verb="create"), event(**EXEC)) == [(False, False), (True, False)]


def test_a_request_for_no_resource_is_always_shown() -> None:
    assert looks(engine(RULE, WRITES), event(objectRef={}))[0][1]


def test_a_request_that_is_only_received_is_not_shown() -> None:
    assert looks(engine(RULE, WRITES), event(verb="create", stage="RequestReceived")) == [(False, False)]


def test_a_node_is_heard_once_in_a_second() -> None:
    found = engine(RULE, NODES)
    kubelets = [event(f"system:node:n{number}") for number in (1, 2, 1, 1)]
    assert [shown for _, shown in looks(found, *kubelets)] == [True, True, False, False]
    assert [shown for _, shown in looks(found, *kubelets, second=SECONDS + 1)] == [True, True, False, False]


def test_where_a_source_is_all_that_counts_no_record_is_needed() -> None:
    assert looks(engine(RULE, SOURCES), event(), event(verb="create")) == [(False, False)] * 2


def test_rules_are_possible_whatever_is_watched() -> None:
    with_it, without = engine(RULE, WRITES, NODES), engine(RULE)
    payloads = [event(), event(verb="create"), event(**EXEC), event("system:node:n1", **EXEC)]
    assert [rules for rules, _ in looks(with_it, *payloads)] == [rules for rules, _ in looks(without, *payloads)]


def test_what_is_no_outline_is_left_to_decoding() -> None:
    screen = engine(RULE, WRITES).screen(AUDIT)
    assert screen is not None
    assert screen.look(event(user=["x"]), SECONDS) is None


def test_nobody_watches_without_definitions() -> None:
    assert interest_in(AUDIT, ()) is None


SHIPPED = load_rules(text for text in shipped_pack_texts() if text.pack == "behaviour").definitions
USERS = ("ann", "", "system:anonymous", "system:node:n1", "system:serviceaccount:shop:cart")
MORE = ("system:serviceaccount:kube-system:job-controller", "system:apiserver", "system:kube-scheduler")
EVENTS = st.fixed_dictionaries(
    {
        "actor": st.sampled_from(USERS + MORE),
        "verb": st.sampled_from(["get", "list", "create", "delete", "deletecollection", "x"]),
        "objectRef": st.sampled_from(
            [
                {"resource": "secrets", "namespace": "shop", "name": "a"},
                {"resource": "pods", "subresource": "exec", "namespace": "shop"},
                {"resource": "nodes", "name": "n1"},
                {"resource": "serviceaccounts", "subresource": "token", "namespace": "shop", "name": "cart"},
                {"resource": "leases", "namespace": "kube-system"},
                {},
            ]
        ),
        "responseStatus": st.sampled_from([{"code": code} for code in (200, 201, 401, 403, 404)] + [{}]),
        "sourceIPs": st.sampled_from([["10.0.0.7"], ["198.51.100.7"], []]),
        "stage": st.sampled_from(["ResponseComplete", "ResponseStarted", "RequestReceived"]),
    }
)


@given(EVENTS)
def test_who_looks_at_an_observation_is_always_shown_it(given: dict[str, Any]) -> None:
    """The outline may ask for too much, never for too little."""
    payload = event(**given)
    assert isinstance(AUDIT, Observer)
    seen = AUDIT.observe(payload, "", None)
    interest = interest_in(AUDIT, SHIPPED)
    assert interest is not None
    outline = AUDIT.outline(interest.fields).read(payload)  # type: ignore[attr-defined]
    watch = Watch()
    watch.use(SHIPPED)
    asked = (
        [] if seen is None else [one for _, one in watch._selections["call"].plan(_heard(seen)) if one.kind == "call"]
    )
    wish = interest.wish(msgspec.json.decode(msgspec.json.encode(outline)))
    assert wish is not Wish.NEVER or not asked
    counted = [one for one in asked if one.type != "silence"]
    assert wish is Wish.ALWAYS or not counted


def _heard(seen: Any) -> Any:
    seen.source = "audit"
    return seen


@pytest.mark.parametrize("name", ["falco", "vpc_flow", "hubble"])
def test_other_formats_are_always_shown(name: str) -> None:
    interest = interest_in(DECODERS[name], SHIPPED)
    assert interest is not None
    assert interest.wish({}) is Wish.ALWAYS
