"""Alerts that several rules share: who joins, what they say, when a higher level leaves, and to whom it goes."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from detectors.reported import reported_match
from vedette.app.alert_text import put_alert_text
from vedette.pipeline.alert_feed import AlertFeed
from vedette.pipeline.delivery import DeliveryPolicy
from vedette.pipeline.document import build_document
from vedette.pipeline.rollup import Emission, RollUp
from vedette.pipeline.routing import Filter, Selection
from vedette.pipeline.sharing import origins_of
from vedette.schema.alert import Activity, AlertRevision, AlertState, Origin
from vedette.schema.event import Event
from vedette.schema.finding import Match
from vedette.schema.level import Level
from vedette.schema.limits import CONTRIBUTIONS_MAX, EVIDENCE_ITEMS_MAX, SHARED_EVIDENCE_ITEMS_MAX
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo
from vedette.schema.settings import RollUpSettings, SourceLabels

from .conftest import Bench, ScriptedSink

SECOND = 1_000_000_000
POD = ("k8s.ns.name", "k8s.pod.name")
LABELS = SourceLabels("prod")


def rule(name: str, level: Level = Level.LOW, dedup_as: str = "shell", **more: Any) -> RuleInfo:
    return RuleInfo(name, f"Title of {name}", level, dedup_by=more.pop("dedup_by", POD), dedup_as=dedup_as, **more)


def match(info: RuleInfo, *, second: int = 0, seq: int = 0, pod: str = "cart-0", source: str = "falco") -> Match:
    """What Falco reports, as a match of any rule."""
    fields = {"k8s.ns.name": "shop", "k8s.pod.name": pod} if pod else {}
    payload = orjson.dumps({"rule": info.title, "priority": "Notice", "output": "", "output_fields": fields})
    record = Record(seq or second + 1, second * SECOND, payload, Run(source, "falco", 1), 1)
    decoder = DECODERS["falco"]
    return reported_match(info, Event(record, decoder, decoder.decode(payload, "")), {})


def add(rollup: RollUp, *matches: Match, labels: SourceLabels = LABELS) -> list[Emission]:
    return [emission for found in matches for emission in rollup.add(found, labels)]


def opened(rollup: RollUp) -> list[AlertState]:
    return [alert for key in rollup.state if (alert := rollup.state.get(key)) is not None]


def document(alert: AlertState) -> dict[str, Any]:
    return build_document(alert, generation=1, activity=Activity.UPDATE, now_ns=1)


# --- who joins --------------------------------------------------------------------------------------------------------
def test_one_shell_is_one_alert() -> None:
    """Two rules of Falco and an exec that the API server saw, of one moment on one pod."""
    rollup = RollUp(RollUpSettings())
    add(
        rollup,
        match(rule("falco:Terminal shell in container")),
        match(rule("audit exec"), source="audit", second=1),
        match(rule("falco:Run shell untrusted"), second=1, seq=9),
        match(rule("falco:Terminal shell in container"), second=2),
    )
    (alert,) = opened(rollup)
    assert alert.count == 4
    assert [(one.rule.rule_id, one.source, one.count) for one in alert.contributions] == [
        ("falco:Terminal shell in container", "falco", 2),
        ("audit exec", "audit", 1),
        ("falco:Run shell untrusted", "falco", 1),
    ]
    assert [sample.seq for sample in alert.evidence] == [1, 2, 9, 3]


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        pytest.param(match(rule("a")), match(rule("b"), pod="cart-1"), LABELS, id="another pod"),
        pytest.param(match(rule("a")), match(rule("b")), SourceLabels("dev"), id="another cluster"),
        pytest.param(match(rule("a")), match(rule("b", dedup_as="escape")), LABELS, id="another name"),
        pytest.param(match(rule("a")), match(rule("b", dedup_as="")), LABELS, id="a rule without"),
        pytest.param(match(rule("a"), pod=""), match(rule("b"), pod=""), LABELS, id="nothing known to be the same"),
        pytest.param(match(rule("a")), match(rule("shell", dedup_as="")), LABELS, id="a rule called like it"),
        pytest.param(
            match(rule("a", dedup_as='shell"]')), match(rule("b", dedup_as="shell")), LABELS, id="hostile name"
        ),
    ],
)
def test_others_have_alerts_of_their_own(one: Match, other: Match, labels: SourceLabels) -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, one)
    add(rollup, other, labels=labels)
    assert [alert.count for alert in opened(rollup)] == [1, 1]


def test_alerts_on_one_thing_share_a_ticket_whoever_opened_them() -> None:
    first, second = RollUp(RollUpSettings()), RollUp(RollUpSettings())
    add(first, match(rule("a")))
    add(second, match(rule("b", Level.HIGH), seq=7))
    ids = [document(opened(rollup)[0])["metadata"]["correlation_uid"] for rollup in (first, second)]
    assert ids[0] == ids[1]


# --- levels -----------------------------------------------------------------------------------------------------------
def test_a_higher_level_leaves_at_once_and_leads() -> None:
    rollup = RollUp(RollUpSettings())
    emitted = add(rollup, match(rule("low")), match(rule("lower", Level.INFORMATIONAL), second=1))
    assert [emission.activity for emission in emitted] == [Activity.CREATE], "what changes no level waits its turn"
    (raised,) = add(rollup, match(rule("worst", Level.CRITICAL, attack=("T1611",)), second=2))
    assert raised.activity is Activity.UPDATE
    found = document(raised.alert)
    assert (found["severity"], found["finding_info"]["title"]) == ("Critical", "Title of worst")
    assert [other["uid"] for other in found["finding_info"]["related_analytics"]] == ["low", "lower"]
    assert found["evidences"][0]["data"]["seq"] == 3, "the first sample is the leading rule's"
    assert found["message"].endswith("; also Title of low, Title of lower")
    assert [one["explanation"][0]["value"] for one in found["unmapped"]["rules"]] == [
        "Title of low",
        "Title of lower",
        "Title of worst",
    ]
    assert add(rollup, match(rule("as bad", Level.CRITICAL), second=2, seq=8)) == []
    assert opened(rollup)[0].rule.rule_id == "worst", "the first among equals"


def test_people_are_told_of_all_rules(capsys: pytest.CaptureFixture[str]) -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("a\x1b[2J")), match(rule("b", Level.HIGH), second=1))
    put_alert_text(document(opened(rollup)[0]))
    shown = capsys.readouterr().out
    assert (
        "rule: rule reported by the sensor  (it is 'Title of b')\n\nAlso Title of a\\x1b[2J (low, count 1): " in shown
    )


def test_a_rule_that_is_reported_at_several_levels_counts_for_each() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("same")), match(rule("same", Level.HIGH), second=1), match(rule("same"), second=2))
    (alert,) = opened(rollup)
    assert alert.rule.level is Level.HIGH
    assert [(one.rule.level, one.count) for one in alert.contributions] == [(Level.LOW, 2), (Level.HIGH, 1)]
    assert "related_analytics" not in document(alert)["finding_info"]


def test_one_event_that_several_rules_match_is_one_sample() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("a"), seq=5), match(rule("b"), seq=5), match(rule("c", Level.HIGH), seq=5))
    (alert,) = opened(rollup)
    assert (alert.count, [sample.seq for sample in alert.evidence]) == (3, [5])


# --- bounds -----------------------------------------------------------------------------------------------------------
def test_a_flood_of_rules_is_bounded_and_hides_no_severe_one() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, *(match(rule(f"falco:{number}"), second=number) for number in range(100)))
    (alert,) = opened(rollup)
    assert len(alert.contributions) == CONTRIBUTIONS_MAX
    assert alert.unlisted == 100 - CONTRIBUTIONS_MAX
    add(rollup, match(rule("severe", Level.HIGH), second=200))
    assert alert.rule.rule_id == alert.contributions[-1].rule.rule_id == "severe"
    assert sum(one.count for one in alert.contributions) + alert.unlisted == alert.count == 101
    assert len(alert.evidence) == SHARED_EVIDENCE_ITEMS_MAX
    assert len(orjson.dumps(document(alert))) < 100_000


def test_one_rule_takes_no_more_samples_than_it_would_alone() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, *(match(rule("a"), second=number) for number in range(50)))
    assert len(opened(rollup)[0].evidence) == EVIDENCE_ITEMS_MAX


def test_a_name_with_many_alerts_loses_its_own_first() -> None:
    rollup = RollUp(RollUpSettings(open_alerts_max=4))
    add(rollup, match(rule("quiet", dedup_as="")))
    add(rollup, *(match(rule(f"r{number}"), second=1, pod=f"p{number}") for number in range(20)))
    add(rollup, match(rule("worse", Level.HIGH), second=2, pod="p19"))  # whose alert has another rule from here on
    add(rollup, *(match(rule("more"), second=3, pod=f"q{number}") for number in range(20)))
    assert opened(rollup)[0].rule.rule_id == "quiet"
    assert len(rollup.state) == 4


# --- deliveries -------------------------------------------------------------------------------------------------------
TAGGED = Origin("tagged", "audit", ("attack.t1611",))


def revision(number: int, level: Level, *joined: Origin, rule_id: str = "falco:shell") -> AlertRevision:
    return AlertRevision("a", 1, number, 5, str(level), rule_id, b"{}", source="falco", joined=joined)


@pytest.mark.parametrize(
    ("passing", "expected"),
    [
        pytest.param(Filter(Level.HIGH), [2, 3], id="a level that it reaches later"),
        pytest.param(Filter(only=Selection(tags=("attack.t1611",))), [3], id="a tag of a rule that joins"),
        pytest.param(Filter(only=Selection(sources=("audit",))), [3], id="a source of a rule that joins"),
        pytest.param(Filter(exclude=Selection(rules=("falco:*",))), [3], id="one of its rules is not excluded"),
        pytest.param(Filter(exclude=Selection(tags=("attack.*",))), [1, 2, 3], id="a rule that joins takes none away"),
        pytest.param(
            Filter(only=Selection(sources=("falco",), tags=("attack.*",))), [], id="one rule has to pass all lists"
        ),
    ],
)
async def test_an_alert_goes_where_one_of_its_rules_would_go(
    bench: Bench, passing: Filter, expected: list[int]
) -> None:
    sink = ScriptedSink()
    for step in (revision(1, Level.LOW), revision(2, Level.HIGH), revision(3, Level.HIGH, TAGGED)):
        await bench.log(step)
        await bench.drained(sink, DeliveryPolicy(passing))
    taken = [each for each in sink.taken if isinstance(each, AlertRevision)]
    assert [each.revision for each in taken] == expected
    count = bench.count()
    assert (count.routed, count.suppressed) == (len(expected), 3 - len(expected))
    assert all(each.joined == (TAGGED,) for each in taken if each.revision == 3), "kept by the journal"


async def test_what_a_shared_alert_needs_for_a_replay_of_dead_deliveries_is_kept(bench: Bench) -> None:
    logged = revision(1, Level.HIGH, TAGGED)
    await bench.log(logged)
    feed = AlertFeed(ScriptedSink(), Filter(), bench.thread)
    assert await feed.open() == 0
    stretch = await feed.read(0)
    assert stretch is not None
    assert [item.content for item in stretch.waiting] == [logged]


NAMES = st.sampled_from(["a", "b", "c"])
GLOBS = st.lists(st.sampled_from(["a", "b", "[ab]", "*", "t?"]), max_size=2).map(tuple)
SELECTIONS = st.builds(Selection, sources=GLOBS, rules=GLOBS, tags=GLOBS)
RULES = st.builds(rule, NAMES, st.sampled_from(Level), tags=st.lists(st.sampled_from(["ta", "tb"])).map(tuple))


@given(
    passing=st.builds(Filter, st.sampled_from(Level), SELECTIONS, SELECTIONS),
    found=st.lists(st.tuples(RULES, NAMES, st.integers(0, 3)), min_size=1, max_size=30),
)
def test_what_passed_once_passes_from_then_on(passing: Filter, found: list[tuple[RuleInfo, str, int]]) -> None:
    rollup = RollUp(RollUpSettings())
    second, fates, alone = 0, list[bool](), list[bool]()
    for info, source, pause in found:
        second += pause
        rollup.add(match(info, second=second, source=source), LABELS)
        (alert,) = opened(rollup)
        lead, *others = origins_of(alert)
        level = str(alert.rule.level)
        assert alert.rule.level.rank == max(each.level.rank for each, *_ in found[: len(fates) + 1])
        made = AlertRevision(
            "a", 1, 1, 0, level, lead.rule_id, b"", lead.source, "prod", lead.tags, joined=tuple(others)
        )
        fates.append(passing.wants_alert(made))
        alone.append(
            passing.wants_alert(
                made._replace(level=str(info.level), rule_id=info.rule_id, source=source, tags=info.tags, joined=())
            )
        )
        assert fates == sorted(fates), "it never stops passing"
    if len({(info.rule_id, info.level) for info, *_ in found}) == len(found):
        assert fates[-1] >= any(alone), "it goes where any of its findings would have gone alone"


def test_a_checkpoint_of_a_version_that_did_not_share_is_read() -> None:
    rollup = RollUp(RollUpSettings())
    add(rollup, match(rule("a", dedup_as="")))
    rollup.state.freeze()
    saved = rollup.state.drain(10)
    plain = msgspec.msgpack.decode(saved[0].value)
    for name in ("dedup_as", "contributions", "unlisted"):
        del plain[name]
    restored = RollUp(RollUpSettings())
    restored.state.restore([saved[0]._replace(value=msgspec.msgpack.encode(plain))])
    assert opened(restored) == opened(rollup)
