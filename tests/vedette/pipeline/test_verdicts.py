"""Verdicts on alerts: what leaves detection, where it goes, and that a restart changes nothing."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ocsf_models.events.findings.detection_finding import DetectionFinding

from vedette.journal.protocol import Chunk
from vedette.pipeline.control_record import OP_VERDICT, ControlRecord, encode_control
from vedette.pipeline.document import build_document, encode_document
from vedette.pipeline.effects import Effects
from vedette.pipeline.rollup import RollUp
from vedette.pipeline.sharing import origins_of
from vedette.pipeline.verdicts import put_verdict, revise_closed
from vedette.schema.alert import Activity, AlertState
from vedette.schema.errors import DecodeError
from vedette.schema.level import Level
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Run
from vedette.schema.settings import RollUpSettings
from vedette.schema.verdict import ANALYST_CHARS_MAX, Judgement, Verdict, make_verdict
from vedette.testing.law import assert_law

from .document.conftest import STATES
from .test_sharing import add, document, match, opened, rule

if TYPE_CHECKING:
    from types import ModuleType

SECOND = 1_000_000_000
LATER_NS = 1_774_700_000_123_456_789
CONFIRMED = Verdict(Judgement.TRUE_POSITIVE, "ann", "INC-204", LATER_NS)


# --- while findings can join ------------------------------------------------------------------------------------------
def judged(rollup: RollUp, verdict: Verdict = CONFIRMED) -> AlertState:
    (alert,) = opened(rollup)
    assert rollup.judge(alert.alert_id, verdict) is not None
    return alert


def test_a_verdict_leaves_at_once_and_stays_with_every_revision() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("a")))
    (alert,) = opened(rollup)
    (emission,) = rollup.judge(alert.alert_id, CONFIRMED) or []
    assert (emission.activity, emission.arrival_ns, emission.alert.revision) == (Activity.UPDATE, LATER_NS, 2)
    add(rollup, match(rule("a"), second=1))
    assert document(alert)["unmapped"]["verdict"] == {
        "judgement": "true_positive",
        "analyst": "ann",
        "reason": "INC-204",
        "time_ns": LATER_NS,
    }
    assert (document(alert)["count"], document(alert)["status"]) == (2, "Resolved")


def test_a_rule_that_is_more_severe_opens_the_alert_again() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("a")))
    alert = judged(rollup)
    add(rollup, match(rule("b"), second=1))
    assert document(alert)["status_id"] == 4
    add(rollup, match(rule("c", Level.HIGH), second=2))
    said = document(alert)
    assert (said["status_id"], said["status"], "comment" in said, "verdict" in said["unmapped"]) == (
        1,
        "New",
        False,
        False,
    )


def test_an_alert_that_is_not_open_is_not_judged() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("a")))
    (before,) = map(document, opened(rollup))
    assert rollup.judge("0" * 32, CONFIRMED) is None
    assert [document(alert) for alert in opened(rollup)] == [before]


# --- when it is over --------------------------------------------------------------------------------------------------
def last_document(state: AlertState) -> str:
    return encode_document(build_document(state, generation=1, activity=Activity.UPDATE, now_ns=LATER_NS)).decode()


@pytest.mark.parametrize("name", sorted(STATES))
def test_a_closed_alert_goes_where_it_went_and_says_what_an_open_one_would(name: str) -> None:
    state = STATES[name]()
    revision = revise_closed(last_document(state), CONFIRMED, 1)
    state.revision += 1
    state.verdict = CONFIRMED
    built = build_document(state, generation=1, activity=Activity.CLOSE, now_ns=LATER_NS)
    assert orjson.loads(revision.document) == orjson.loads(encode_document(built))
    leading, *joined = origins_of(state) if state.dedup_as else [None]
    assert revision.version == (1 << 32) + state.revision
    assert revision[:6] == (
        state.alert_id,
        1,
        state.revision,
        state.opened_ns,
        state.rule.level.value,
        state.rule.rule_id,
    )
    assert (revision.cluster, revision.ticket_key) == (state.cluster, built["metadata"]["correlation_uid"])
    assert revision.source == (leading.source if leading else state.evidence[0].source)
    assert (revision.tags, revision.joined) == (state.rule.tags, tuple(joined))


def test_the_generation_is_that_of_now() -> None:
    state = STATES["audit"]()
    revision = revise_closed(last_document(state), CONFIRMED, 7)
    assert (revision.generation, revision.version) == (7, (7 << 32) + state.revision + 1)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"unmapped": {"alert_id": "a", "revision": "b"}}'])
def test_what_is_no_document_is_refused(content: str) -> None:
    with pytest.raises(DecodeError, match="broken control record"):
        revise_closed(content, CONFIRMED, 1)


# --- words ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(STATES))
@pytest.mark.parametrize("judgement", Judgement)
def test_ocsf_has_a_place_for_it(name: str, judgement: Judgement) -> None:
    said = build_document(STATES[name](), generation=1, activity=Activity.UPDATE, now_ns=LATER_NS)
    put_verdict(said, make_verdict(judgement, "ann", "because", LATER_NS))
    model = DetectionFinding.model_validate(said).model_dump(mode="json", exclude_none=True)
    wanted = {"true_positive": 2, "false_positive": 1, "benign": 5}[judgement.value]
    assert (model["status_id"], model["status"], model["comment"]) == (4, "Resolved", "because")
    assert {sample["verdict_id"] for sample in model["evidences"]} == {wanted}
    assert model["unmapped"]["verdict"]["judgement"] == judgement


def test_a_later_verdict_takes_the_place_of_an_earlier_one() -> None:
    said = build_document(STATES["audit"](), generation=1, activity=Activity.UPDATE, now_ns=LATER_NS)
    put_verdict(said, CONFIRMED)
    put_verdict(said, Verdict(Judgement.BENIGN))
    assert "comment" not in said
    assert {sample["verdict"] for sample in said["evidences"]} == {"Benign"}
    assert said["unmapped"]["verdict"]["judgement"] == "benign"


@given(analyst=st.text(max_size=400), reason=st.text(max_size=3000))
def test_any_words_are_bounded_and_encode(analyst: str, reason: str) -> None:
    said = build_document(STATES["audit"](), generation=1, activity=Activity.UPDATE, now_ns=LATER_NS)
    put_verdict(said, make_verdict(Judgement.BENIGN, analyst + "\udc80", reason, 0))
    verdict: dict[str, Any] = orjson.loads(orjson.dumps(said))["unmapped"]["verdict"]
    assert len(verdict["analyst"]) <= ANALYST_CHARS_MAX
    assert len(verdict["reason"]) <= TEXT_CHARS_MAX
    assert reason[: TEXT_CHARS_MAX - 1].startswith(verdict["reason"][: TEXT_CHARS_MAX - 1])


# --- the law ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("law_bench", Path(__file__).with_name("law_bench.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["law_bench"] = module
    spec.loader.exec_module(module)
    return module


def log_with_verdicts(bench: ModuleType, seed: int) -> list[Chunk]:
    """A log in which an analyst judges alerts of it, open ones and such as are over, and some that never were."""
    rng, feeding = random.Random(seed), bench.DetectorBench()
    documents: dict[str, str] = {}
    log: list[Chunk] = []
    for plain in bench.random_log(seed, chunks=60):
        log.append(plain._replace(seq=log[-1].last_seq + 1 if log else 1))
        feeding.detector.begin(log[-1], feeding.effects)
        feeding.detector.feed(bench.records_of(log[-1]), feeding.effects)
        for revision in feeding.effects.take(log[-1].last_seq, log[-1].arrival_ns).alerts:
            documents[revision.alert_id] = revision.document.decode()
        if documents and rng.random() < 0.5:
            log.append(verdict_chunk(rng, log[-1], documents))
            feeding.detector.begin(log[-1], feeding.effects)
            feeding.detector.feed(bench.records_of(log[-1]), feeding.effects)
            for revision in feeding.effects.take(log[-1].last_seq, log[-1].arrival_ns).alerts:
                documents[revision.alert_id] = revision.document.decode()
    return log


def verdict_chunk(rng: random.Random, before: Chunk, documents: dict[str, str]) -> Chunk:
    alert_id, content = rng.choice(list(documents.items()))
    control = ControlRecord(
        OP_VERDICT,
        alert=rng.choice([alert_id, alert_id, "0" * 32]),
        judgement=rng.choice([*Judgement, None]),
        document=content,
        final=rng.random() < 0.7,
    )
    item = encode_control(control)
    return Chunk(before.last_seq + 1, before.arrival_ns, [Run(CONTROL_SOURCE, CONTROL_FORMAT, 1)], [item], len(item))


@pytest.mark.parametrize(
    ("final", "expected"),
    [(True, {("verdicts", "benign"): 1}), (False, {})],
    ids=["one that is told", "one on no alert at all"],
)
def test_verdicts_are_counted(bench: ModuleType, final: bool, expected: dict[tuple[str, ...], int]) -> None:
    feeding = bench.DetectorBench()
    content = encode_document(build_document(STATES["audit"](), generation=1, activity=Activity.CLOSE, now_ns=LATER_NS))
    control = ControlRecord(
        OP_VERDICT, alert="0" * 32, judgement=Judgement.BENIGN, document=content.decode(), final=final
    )
    item = encode_control(control)
    chunk = Chunk(1, LATER_NS, [Run(CONTROL_SOURCE, CONTROL_FORMAT, 1)], [item], len(item))
    feeding.detector.begin(chunk, feeding.effects)
    feeding.detector.feed(bench.records_of(chunk), feeding.effects)
    assert feeding.effects.take(chunk.last_seq, chunk.arrival_ns).tallies == expected


@pytest.mark.parametrize("seed", range(3))
def test_restored_at_random_positions_verdicts_come_out_the_same(bench: ModuleType, seed: int) -> None:
    log = log_with_verdicts(bench, seed)
    text = b"\n".join(piece for feeding in [bench.DetectorBench()] for chunk in log for piece in feeding.feed(chunk))
    for judgement in Judgement:
        assert b'"judgement":"%s"' % judgement.encode() in text
    assert_law(bench.DetectorBench, log, random.Random(seed), rounds=6)


def test_rebuilding_comes_to_the_same_digest(bench: ModuleType) -> None:
    digests: list[bytes] = []
    for rebuilding in (False, True):
        feeding = bench.DetectorBench()
        feeding.effects = Effects(b"", 1, rebuilding=rebuilding)
        for chunk in log_with_verdicts(bench, 1):
            list(feeding.feed(chunk))
        digests.append(feeding.effects.digest)
    assert digests[0] == digests[1]
