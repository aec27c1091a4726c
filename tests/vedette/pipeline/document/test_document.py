"""The alert document: golden files, OCSF without loss, bounds, determinism."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ocsf_models.events.findings.detection_finding import DetectionFinding

from vedette.pipeline.document import CLAUSES_MAX, OCSF_VERSION, build_document, encode_document
from vedette.schema.alert import Activity, AlertState, Evidence
from vedette.schema.event import Facts
from vedette.schema.finding import Clause
from vedette.schema.level import Level
from vedette.schema.limits import EVIDENCE_BYTES_MAX, EVIDENCE_ITEMS_MAX, TEXT_CHARS_MAX
from vedette.schema.rule import RuleInfo

GOLDEN = Path(__file__).parent / "golden"
NOW_NS = 1_774_612_900_000_000_123

OCSF_ONLY = {
    "actor",
    "connection_info",
    "container",
    "dst_endpoint",
    "process",
    "src_endpoint",
    "uid",
    "verdict",
}
"""Attributes of OCSF 1.5 `evidences` that py-ocsf-models does not know; `unmapped.facts` says the same."""


def document(state: AlertState, activity: Activity = Activity.UPDATE, generation: int = 1) -> dict[str, Any]:
    content = encode_document(build_document(state, generation=generation, activity=activity, now_ns=NOW_NS))
    decoded: dict[str, Any] = orjson.loads(content)
    return decoded


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


# --- golden files -----------------------------------------------------------------------------------------------------
def test_the_document_is_the_golden_one(state: AlertState, name: str) -> None:
    """Rewrite with VEDETTE_GOLDEN=update and review the difference."""
    file = GOLDEN / f"{name}.json"
    found = document(state)
    found["metadata"]["product"]["version"] = "0.0.0"
    if os.environ.get("VEDETTE_GOLDEN") == "update":
        file.write_text(json.dumps(found, indent=2, ensure_ascii=True) + "\n", "utf-8")
    assert found == json.loads(file.read_text("utf-8"))


# --- OCSF -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("activity", Activity, ids=lambda activity: activity.name)
def test_ocsf_takes_the_document_and_loses_nothing(state: AlertState, activity: Activity) -> None:
    found = document(state, activity)
    finding = DetectionFinding.model_validate(found)
    kept = finding.model_dump(mode="json", exclude_unset=True)
    stripped: list[Any] = []
    for evidence in found["evidences"]:
        stripped += [evidence.pop(key) for key in OCSF_ONLY & evidence.keys()]
    assert kept == found
    derived = {"User", "Service Account", "Benign", 0, 1, 99}
    said_elsewhere = set(leaves(found["unmapped"])) | set(leaves(found["resources"])) | set(leaves(found["evidences"]))
    assert {leaf for leaf in leaves(stripped) if leaf not in derived} <= said_elsewhere


def test_the_class_and_its_ids_are_consistent(state: AlertState) -> None:
    found = document(state, Activity.CLOSE)
    assert (found["class_uid"], found["category_uid"]) == (2004, 2)
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"] == 200403
    status = (1, "New") if state.verdict is None else (4, "Resolved")
    assert (found["activity_name"], found["status_id"], found["status"]) == ("Close", *status)
    assert found["metadata"]["version"] == OCSF_VERSION


def test_the_library_speaks_the_version_that_we_name() -> None:
    from py_ocsf_models import OCSF_VERSION as LIBRARY_VERSION  # noqa: PLC0415

    assert LIBRARY_VERSION == OCSF_VERSION


@pytest.mark.parametrize("level", Level)
def test_severity_follows_the_level(audit_state: AlertState, level: Level) -> None:
    audit_state.rule = RuleInfo("r", "Rule", level)
    found = document(audit_state)
    assert (found["severity_id"], found["severity"]) == (level.rank + 1, level.value.capitalize())


def test_times_are_milliseconds_and_exact_ones_stand_beside(audit_state: AlertState) -> None:
    found = document(audit_state)
    assert found["time"] == NOW_NS // 1_000_000
    assert found["unmapped"]["time_ns"] == NOW_NS
    assert found["end_time"] - found["start_time"] == found["duration"] == 90_000
    assert found["unmapped"]["last_seen_ns"] == audit_state.last_seen_ns


def test_versions_order_revisions_of_later_generations_last(audit_state: AlertState) -> None:
    assert document(audit_state, generation=2)["unmapped"]["version"] == 2 * 2**32 + audit_state.revision


# --- what stands where ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        pytest.param((), [], id="none"),
        pytest.param(("T1609",), [(None, "Container Administration Command", None)], id="technique"),
        pytest.param(("TA0002", "T1609"), [("Execution", "Container Administration Command", None)], id="one tactic"),
        pytest.param(
            ("TA0002", "TA0003", "T1053.007"),
            [
                (None, "Scheduled Task/Job", "Container Orchestration Job"),
                ("Execution", None, None),
                ("Persistence", None, None),
            ],
            id="two tactics say not which",
        ),
        pytest.param(("T9999.001",), [(None, "T9999", "T9999.001")], id="unknown ids stand for themselves"),
    ],
)
def test_attack_ids_have_names(
    audit_state: AlertState, attack: tuple[str, ...], expected: list[tuple[str | None, str | None, str | None]]
) -> None:
    audit_state.rule = RuleInfo("r", "Rule", Level.LOW, attack=attack)
    found = document(audit_state)["finding_info"]["attacks"]
    names = [
        tuple(entry.get(part, {}).get("name") for part in ("tactic", "technique", "sub_technique")) for entry in found
    ]
    assert names == expected


def test_the_peer_is_the_source_and_what_it_claims_is_intermediate(audit_state: AlertState) -> None:
    assert document(audit_state)["evidences"][0]["src_endpoint"] == {
        "ip": "10.40.3.21",
        "intermediate_ips": ["198.51.100.7"],
    }


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(
            Facts(pod="web-7d4f9c6b5-x2x9z", namespace="shop"),
            {"kind": "Deployment", "name": "web", "namespace": "shop", "inferred": True},
            id="from the pod's name",
        ),
        pytest.param(
            Facts(pod="web-7d4f9c6b5-x2x9z", workload="web", workload_kind="Rollout", namespace="shop"),
            {"kind": "Rollout", "name": "web", "namespace": "shop", "inferred": False},
            id="known",
        ),
        pytest.param(Facts(), {"kind": "", "name": "", "namespace": "", "inferred": False}, id="none"),
    ],
)
def test_the_workload_is_known_or_inferred(audit_state: AlertState, facts: Facts, expected: dict[str, Any]) -> None:
    audit_state.facts = facts
    assert document(audit_state)["unmapped"]["workload"] == expected


@pytest.mark.parametrize(
    ("user", "kind"),
    [
        ("mara", 1),
        ("system:node:worker-3", 3),
        ("system:serviceaccount:ci:runner", 99),
        ("system:anonymous", 0),
    ],
)
def test_kinds_of_users(audit_state: AlertState, user: str, kind: int) -> None:
    audit_state.facts = Facts(actor=user)
    assert document(audit_state)["evidences"][0]["actor"]["user"]["type_id"] == kind


def test_alerts_on_the_same_thing_share_a_correlation_id(audit_state: AlertState) -> None:
    first = document(audit_state)
    audit_state.alert_id, audit_state.seq, audit_state.count = "another", 1, 1
    second = document(audit_state)
    audit_state.cluster = "another"
    third = document(audit_state)
    ids = [found["metadata"]["correlation_uid"] for found in (first, second, third)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("exec", "exec", id="string"),
        pytest.param(101, "101", id="number"),
        pytest.param(True, "true", id="boolean"),
        pytest.param({"a": [1]}, '{"a":[1]}', id="object"),
        pytest.param("x" * 5_000, "x" * (TEXT_CHARS_MAX - 1) + "…", id="long"),
        pytest.param(2**70, '"1180591620717411303424"', id="beyond 64 bits"),
    ],
)
def test_a_clause_says_its_value_as_text(audit_state: AlertState, value: Any, text: str | None) -> None:
    audit_state.clauses = (Clause("selection", "field", "test", "path", value),)
    assert document(audit_state)["unmapped"]["explanation"][0]["value"] == text


# --- hostile and huge -------------------------------------------------------------------------------------------------
HOSTILE = "\x1b[2J\x00\u202e\r\nx\u2028\U000e0041"


def test_the_message_is_one_harmless_line(audit_state: AlertState) -> None:
    hostile = {
        field: HOSTILE if isinstance(value, str) else (HOSTILE,)
        for field, value in msgspec.structs.asdict(audit_state.facts).items()
        if isinstance(value, str | tuple)
    }
    audit_state.facts = msgspec.convert(hostile, Facts)
    audit_state.rule = RuleInfo(HOSTILE, HOSTILE, Level.LOW)
    audit_state.cluster = HOSTILE
    found = document(audit_state)
    assert found["message"].isprintable()
    assert found["unmapped"]["facts"]["actor"] == HOSTILE, "data stays faithful"


def test_a_huge_state_gives_a_bounded_document(audit_state: AlertState) -> None:
    huge = "\\" * 1_000_000
    audit_state.facts = Facts(actor=huge, command=huge, images=(huge,) * 1_000, groups=(huge,) * 1_000, sources=(huge,))
    audit_state.clauses = tuple(Clause(huge, huge, huge, huge, huge) for _ in range(1_000))
    audit_state.dedup_values = (huge,) * 1_000
    audit_state.rule = RuleInfo(huge, huge, Level.LOW, huge, (huge,) * 1_000, tags=(huge,) * 1_000, author=huge)
    audit_state.evidence = [
        Evidence(1, 1, 1, "s", "f", "u", raw=huge[:EVIDENCE_BYTES_MAX]) for _ in range(EVIDENCE_ITEMS_MAX)
    ]
    found = document(audit_state)
    assert set(found["unmapped"]["cut"]) == {"actor", "command", "images", "groups", "sources"}
    assert len(found["unmapped"]["explanation"]) == CLAUSES_MAX
    assert len(found["unmapped"]["rule"]["tags"]) < 100
    assert len(orjson.dumps(found)) < 2_000_000


def test_lone_surrogates_become_replacement_characters(audit_state: AlertState) -> None:
    audit_state.facts = Facts(actor="a\ud800b", command="\ud83d\ude00")
    audit_state.dedup_values = ("\udcff",)
    found = document(audit_state)
    assert found["unmapped"]["facts"] == {"actor": "a\ufffdb", "command": "\N{GRINNING FACE}"}


TEXT = st.text(max_size=20)


@given(
    actor=TEXT,
    command=TEXT,
    sources=st.lists(TEXT, max_size=3).map(tuple),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
)
def test_equal_states_give_equal_bytes(
    actor: str, command: str, sources: tuple[str, ...], labels: dict[str, str]
) -> None:
    def render(labels: dict[str, str]) -> bytes:
        state = AlertState(
            "id",
            RuleInfo("r", "Rule", Level.LOW),
            (actor,),
            "c",
            labels,
            1,
            1,
            1,
            1,
            1,
            Facts(actor=actor, command=command, sources=sources),
            (Clause("w", "f", "t", "p", command),),
        )
        return encode_document(build_document(state, generation=0, activity=Activity.CREATE, now_ns=1))

    content = render(labels)
    assert content == render(dict(reversed(labels.items())))
    assert b"\n" not in content
    DetectionFinding.model_validate(orjson.loads(content))
