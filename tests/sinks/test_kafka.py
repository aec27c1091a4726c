"""The Kafka sink against a real broker: keys, versions, and what happens when it is refused, cut off or turned away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from sinks import SINKS, SinkContext
from sinks.kafka import KafkaSettings
from tests.servers.kafka import left_to_collector
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.testing.sinks import sample_revision

from .kafka_bench import KafkaBench

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.servers.kafka import Kafka
    from vedette.runtime.sink import Sink

SERVER = [pytest.mark.server, pytest.mark.timeout(60)]


def servers(test: Any) -> Any:
    for mark in SERVER:
        test = mark(test)
    return test


async def deliver(sink: Sink, count: int) -> Sequence[object]:
    await sink.start()
    try:
        return await sink.deliver([sample_revision(number) for number in range(count)])
    finally:
        await sink.stop()


# --- settings ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"bootstrap_servers": "kafka"}, "a host and a port"),
        ({"bootstrap_servers": "https://kafka:9092"}, "a host and a port"),
        ({"bootstrap_servers": ["kafka:9092", "kafka:70000"]}, "a host and a port"),
        ({"bootstrap_servers": []}, "at least 1 item"),
        ({"topic": "a/b"}, "a topic's name has"),
        ({"topic": ".."}, "a topic's name has"),
        ({"username": "ann"}, "go together"),
        ({"password": "S3cret"}, "go together"),
        ({"username": "ann", "password": "S3cret", "password_file": "x"}, "not both"),
        ({"ca_file": "ca.pem"}, "need tls: true"),
        ({"tls": True, "client_cert_file": "c.pem"}, "go together"),
        ({"sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
        ({"compression": "lzma"}, "zstd"),
    ],
    ids=str,
)
def test_settings_that_can_not_work(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", "topic": "alerts", **wrong})
    assert "S3cret" not in str(refused.value)


@pytest.mark.parametrize("address", ["kafka-0.example:9092", "[::1]:9092", "10.0.0.1:1"])
def test_addresses(address: str) -> None:
    settings = KafkaSettings.model_validate({"bootstrap_servers": address, "topic": "alerts"})
    assert settings.bootstrap_servers == (address,)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"username": "ann", "password_file": "none"}, "password_file"),
        ({"tls": True, "ca_file": "none"}, "ca_file"),
        ({"tls": True, "client_cert_file": "none", "client_key_file": "none"}, "client_cert_file"),
    ],
    ids=["password", "ca", "certificate"],
)
async def test_a_file_that_is_not_there_is_named(tmp_path: Path, more: dict[str, Any], key: str) -> None:
    settings, factory = SINKS["kafka"]
    sink = factory(
        "bus", settings.model_validate({"bootstrap_servers": "k:1", "topic": "a", **more}), SinkContext(tmp_path)
    )
    with pytest.raises(ConfigError, match=rf"sinks\.bus\.kafka\.{key}: "):
        await sink.start()
    (check,) = await sink.probe()
    assert key in check.problem


# --- a real broker ----------------------------------------------------------------------------------------------------
@servers
async def test_revisions_of_an_alert_stay_together_in_order(kafka: Kafka, tmp_path: Path) -> None:
    bench = KafkaBench(tmp_path, kafka, partitions=3)
    revisions = [sample_revision(number, revision=revision) for revision in (1, 2, 3) for number in range(50)]
    sink = bench.make()
    await sink.start()
    assert list(await sink.deliver(revisions)) == [None] * 150
    await sink.stop()
    found = bench.records()
    for wanted in revisions[:50]:
        mine = [record for record in found if record.key == wanted.alert_id.encode()]
        assert [dict(record.headers)["vedette-uid"] for record in mine] == [
            f"{wanted.alert_id}-0-{revision}".encode() for revision in (1, 2, 3)
        ]
        assert len({record.partition for record in mine}) == 1
    assert sorted(record.value or b"" for record in found) == sorted(revision.document for revision in revisions)
    assert {dict(record.headers)["vedette-version"] for record in found} == {b"1", b"2", b"3"}


@servers
@left_to_collector
async def test_what_is_tried_again_is_written_once(kafka: Kafka, tmp_path: Path) -> None:
    """Killed in the middle of it, the broker takes each record of a batch once all the same."""
    bench = KafkaBench(tmp_path, kafka)
    sink = bench.make(timeout_s=60)
    await sink.start()
    revisions = [sample_revision(number) for number in range(300)]
    assert list(await sink.deliver(revisions[:100])) == [None] * 100
    for begin in (100, 200):
        delivery = asyncio.ensure_future(sink.deliver(revisions[begin : begin + 100]))
        await asyncio.sleep(0)
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        assert list(await delivery) == [None] * 100
    await sink.stop()
    assert [record.key for record in bench.records()] == [revision.alert_id.encode() for revision in revisions]


@servers
async def test_a_record_that_is_too_large_costs_only_itself(kafka: Kafka, tmp_path: Path) -> None:
    limit = len(sample_revision(1).document) + 200
    bench = KafkaBench(tmp_path, kafka, limit_bytes=limit)
    sink = bench.make(compression="none")
    await sink.start()
    large = sample_revision(2)._replace(document=b'"%s"' % (b"x" * limit))
    outcomes = await sink.deliver([sample_revision(1), large, sample_revision(3)])
    assert [type(outcome) for outcome in outcomes] == [type(None), PermanentError, type(None)]
    assert "max.message.bytes" in str(outcomes[1])
    assert list(await sink.deliver([sample_revision(4)])) == [None]
    await sink.stop()
    assert [record.key for record in bench.records()] == [sample_revision(n).alert_id.encode() for n in (1, 3, 4)]


@servers
@left_to_collector
async def test_a_broker_that_does_not_answer_is_a_matter_of_time(kafka: Kafka, tmp_path: Path) -> None:
    bench = KafkaBench(tmp_path, kafka)
    sink = bench.make(timeout_s=1)
    await sink.start()
    await asyncio.to_thread(kafka.kill)
    with pytest.raises(TransientError, match="127"):
        await sink.deliver([sample_revision(1)])
    await asyncio.to_thread(kafka.start)
    kafka.pause()
    with pytest.raises(TransientError, match="within 1 s"):
        await sink.deliver([sample_revision(1)])
    kafka.resume()
    while True:
        try:
            assert list(await sink.deliver([sample_revision(1)])) == [None]
            break
        except TransientError:
            continue
    await sink.stop()
    assert {record.key for record in bench.records()} == {sample_revision(1).alert_id.encode()}


@servers
async def test_a_topic_that_is_not_there(kafka: Kafka, tmp_path: Path) -> None:
    bench = KafkaBench(tmp_path, kafka)
    sink = bench.make(topic="not-there", timeout_s=3)
    with pytest.raises(TransientError):
        await deliver(sink, 1)
    checks = await bench.make(topic="not-there").probe()
    assert [check.ok for check in checks] == [True, False]
    assert "create it" in checks[1].remedy


@servers
@pytest.mark.parametrize(
    ("password", "well"), [pytest.param(None, True, id="right"), pytest.param("wr0ng-secret", False, id="wrong")]
)
async def test_probe_over_tls_with_a_password(kafka: Kafka, tmp_path: Path, password: str | None, well: bool) -> None:
    bench = KafkaBench(tmp_path, kafka)
    more = {
        "bootstrap_servers": kafka.address("SASL_SSL"),
        "tls": True,
        "ca_file": kafka.ca,
        "username": kafka.user,
        "password": password or kafka.password,
    }
    checks = await bench.make(**more).probe()
    assert all(check.ok for check in checks) is well
    assert "wr0ng-secret" not in str(checks)
    if well:
        assert list(await deliver(bench.make(**more), 3)) == [None] * 3
