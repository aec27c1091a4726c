"""A back-test over sifted records finds what detection over all of them finds, with the log's rules and with others."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.rule import RuleText
from tests.vedette.pipeline.law_bench import BLOBS, RULE_HASHES, RULES, SETTING_HASHES, random_log
from vedette.pipeline.backtest.rerun import BacktestAlert, Begin, Rerun, RuleSet
from vedette.pipeline.backtest.sieve import Sieve, Sifted
from vedette.pipeline.control_record import OP_RULES, decode_control, encode_control
from vedette.pipeline.detector import Detector, records_of
from vedette.pipeline.effects import Effects
from vedette.pipeline.rulesets import compile_rules, encode_rules, hash_of
from vedette.schema.record import CONTROL_FORMAT
from vedette.schema.settings import decode_settings, encode_settings
from vedette.testing.law import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vedette.journal.protocol import Chunk
    from vedette.schema.alert import AlertState

SEEDS = range(6)
FIRST_SEEN = """
title: In a namespace for the first time
id: first-place
logsource: {product: vedette, category: call}
detection: {known: {actor|exists: true}, condition: known}
behaviour: {type: first_seen, by: [actor], value: [verb, namespace], learn_for: 10s}
level: low
"""
Found = set[tuple[str, str, int, int, int, tuple[str, ...]]]


@pytest.fixture(scope="module")
def of_log() -> dict[str, Engine]:
    return {digest: compile_rules(BLOBS[digest], DECODERS) for digest in RULE_HASHES}


class Live:
    """Detection as the agent does it, over whole chunks."""

    def __init__(self, blob: Callable[[str], bytes | None] = BLOBS.get) -> None:
        self.detector = Detector(DECODERS, blob)
        self.closed: list[AlertState] = []
        self.detector.rollup.on_close = self.closed.append

    def feed(self, log: Sequence[Chunk]) -> None:
        effects = Effects(b"", 1)
        for chunk in log:
            self.detector.begin(chunk, effects)
            self.detector.feed(records_of(chunk), effects)

    @property
    def found(self) -> Found:
        state = self.detector.rollup.state
        alerts = [*self.closed, *(alert for key in state if (alert := state.get(key)) is not None)]
        return {
            (
                alert.alert_id,
                alert.rule.rule_id,
                alert.count,
                alert.first_seen_ns,
                alert.last_seen_ns,
                alert.dedup_values,
            )
            for alert in alerts
        }


def found_by(rules: RuleSet, sifted: Sequence[Sifted], begin: Begin | None = None) -> Found:
    taken: list[BacktestAlert] = []
    rerun = Rerun(rules, begin or Begin(), DECODERS, BLOBS.get, taken.append)
    rerun.feed(sifted)
    rerun.finish()
    assert len({alert.alert_id for alert in taken}) == len(taken)
    return {
        (
            alert.alert_id,
            alert.rule_id,
            alert.findings,
            alert.first_seen_ns,
            alert.last_seen_ns,
            alert.entity,
        )
        for alert in taken
    }


def sifted_by(rules: RuleSet, log: Sequence[Chunk], source: str | None = None) -> list[Sifted]:
    every = {rule.content_hash: rule for engine in rules.engines for rule in engine.rules}
    learns = any(engine.definitions for engine in rules.engines)
    sieve = Sieve(every.values(), DECODERS, source, keeps_all=learns)
    return [sieve.sift(chunk) for chunk in log]


@pytest.mark.parametrize("seed", SEEDS)
def test_with_the_rules_of_the_log_it_finds_what_was_found(seed: int, of_log: dict[str, Engine]) -> None:
    log, rules = random_log(seed, chunks=150), RuleSet(None, of_log)
    live = Live()
    live.feed(log)
    sifted = sifted_by(rules, log)
    assert found_by(rules, sifted) == live.found
    assert len(live.found) > 20
    assert sum(len(chunk.records) for chunk in sifted) < sum(len(chunk.items) for chunk in log)


@pytest.mark.parametrize("seed", SEEDS)
def test_from_a_checkpoint_it_finds_what_was_found_from_there_on(seed: int, of_log: dict[str, Engine]) -> None:
    log, rules = random_log(seed, chunks=150), RuleSet(None, of_log)
    cut = random.Random(seed).randrange(20, 130)
    live, saved = Live(), Checkpoints()
    live.feed(log[:cut])
    saved.save(live.detector.operators, keys_max=5)
    live.closed.clear()
    state = {name: list(rows.values()) for name, rows in saved.rows.items()}
    begin = Begin(live.detector.control.in_force.rules, live.detector.control.in_force.settings, state)
    live.feed(log[cut:])
    assert found_by(rules, sifted_by(rules, log[cut:]), begin) == live.found


@pytest.mark.parametrize("digest", RULE_HASHES, ids=["rules", "other-rules"])
def test_with_given_rules_it_finds_what_they_would_have_found(digest: str, of_log: dict[str, Engine]) -> None:
    """Also where settings keep them in shadow: what they would do is what is asked."""
    log, rules = random_log(2, chunks=150), RuleSet(of_log[digest])
    live = Live(lambda name: heard(name) if name in SETTING_HASHES else BLOBS[name])
    live.feed([with_rules(chunk, digest) for chunk in log])
    assert found_by(rules, sifted_by(rules, log)) == live.found


def test_both_rule_sets_of_a_comparison_share_what_was_sifted_for_both(of_log: dict[str, Engine]) -> None:
    log, both = random_log(4, chunks=100), RuleSet(None, of_log)
    for digest in RULE_HASHES:
        given = RuleSet(of_log[digest])
        assert found_by(given, sifted_by(both, log)) == found_by(given, sifted_by(given, log))


def test_detectors_of_behaviour_see_what_rules_let_go() -> None:
    texts = [RuleText("law.yml", RULES, "law"), RuleText("first.yml", FIRST_SEEN, "law")]
    content = encode_rules(texts)
    digest = hash_of(content)
    log, given = random_log(2, chunks=150), RuleSet(compile_rules(content, DECODERS))
    live = Live(lambda name: content if name == digest else heard(name) if name in SETTING_HASHES else BLOBS[name])
    live.feed([with_rules(chunk, digest) for chunk in log])
    assert found_by(given, sifted_by(given, log)) == live.found
    assert {rule_id for _, rule_id, *_ in live.found} >= {"first-place", "many-execs"}


def test_what_pipelines_made_of_one_rule_is_told_apart(of_log: dict[str, Engine]) -> None:
    """They have one `info`; a set that has only one of them matches by that alone."""
    rule = next(rule for rule in of_log[RULE_HASHES[0]].rules if rule.info.rule_id.endswith("02"))
    other = msgspec.structs.replace(rule, content_hash="other", predicate=of_log[RULE_HASHES[0]].rules[0].predicate)
    log = random_log(2, chunks=60)
    sifted = sifted_by(RuleSet(Engine([rule, other], DECODERS)), log)
    for one in (rule, other):
        alone = RuleSet(Engine([one], DECODERS))
        assert found_by(alone, sifted) == found_by(alone, sifted_by(alone, log)) != set()


def test_begun_cold_rules_in_shadow_alert_nobody(of_log: dict[str, Engine]) -> None:
    """The settings in force have them in shadow, from the first record on."""
    log, rules = random_log(2, chunks=150), RuleSet(None, of_log)
    (digest,) = (name for name in SETTING_HASHES if decode_settings(BLOBS[name]).shadow)
    begin = Begin(RULE_HASHES[0], digest, arrival_ns=log[0].arrival_ns)
    quiet = [chunk for chunk in log if not any(run.format == CONTROL_FORMAT for run in chunk.runs)]
    found = {rule_id for _, rule_id, *_ in found_by(rules, sifted_by(rules, quiet), begin)}
    assert found
    assert not found & {"pod-touched", "execs-secrets"}
    given = RuleSet(of_log[RULE_HASHES[0]])
    assert {rule_id for _, rule_id, *_ in found_by(given, sifted_by(given, quiet), begin)} >= {"pod-touched"}


def test_of_one_source_only_its_records_count(of_log: dict[str, Engine]) -> None:
    rules = RuleSet(None, of_log)
    log = random_log(5, chunks=100)
    sources = {record.run.source for chunk in sifted_by(rules, log, "backup") for record in chunk.records}
    assert sources == {"backup", "vedette"}


def test_what_can_not_be_used_is_counted(of_log: dict[str, Engine]) -> None:
    log, rules = random_log(3, chunks=60), RuleSet(None, of_log)
    rerun = Rerun(rules, Begin(), DECODERS, BLOBS.get, lambda _: None)
    rerun.feed(sifted_by(rules, log))
    effects, live = Effects(b"", 1), Detector(DECODERS, BLOBS.get)
    for chunk in log:
        live.begin(chunk, effects)
        live.feed(records_of(chunk), effects)
    assert rerun.unusable == len(effects.dead_letters) > 0


def heard(digest: str) -> bytes:
    return encode_settings(msgspec.structs.replace(decode_settings(BLOBS[digest]), shadow=()))


def with_rules(chunk: Chunk, digest: str) -> Chunk:
    """Let every change of rules be one to the same."""
    items: list[bytes] = []
    for record in records_of(chunk):
        payload = record.payload
        if record.run.format == CONTROL_FORMAT:
            control = decode_control(payload)
            if control.op == OP_RULES:
                payload = encode_control(msgspec.structs.replace(control, hash=digest))
        items.append(payload)
    return chunk._replace(items=items)
