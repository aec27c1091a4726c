"""What `vedette doctor` says of a Kafka source, against a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.sources.kafka.probe import probe

from .cluster import StubIntake, falco, new_name, new_topic, produce, reading, settings, standings, until

if TYPE_CHECKING:
    from tests.servers.kafka import Kafka

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]


async def test_what_is_well(kafka: Kafka) -> None:
    topic, group, intake = await new_topic(kafka), new_name("group"), StubIntake()
    chosen = settings(kafka, topic, group_id=group)
    await produce(kafka, topic, [falco(number) for number in range(4)])
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) == 4)
    before = await standings(kafka, group)
    checks = await probe("bus", chosen)
    assert [check.problem for check in checks] == ["", "", ""]
    assert checks[-1].what.endswith(": 4 partitions")
    assert await standings(kafka, group) == before, "nothing is committed"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        pytest.param({"topics": ["not-there"]}, "there is none", id="topic"),
        pytest.param({"username": "vedette", "password": "wr0ng-secret"}, "", id="login where none is asked for"),
        pytest.param({"tls": True}, "", id="TLS where there is none"),
        pytest.param({"bootstrap_servers": "127.0.0.1:1"}, "", id="nobody there"),
        pytest.param({"tls": True, "ca_file": "none"}, "ca_file", id="file"),
    ],
)
async def test_what_is_wrong(kafka: Kafka, more: dict[str, Any], problem: str) -> None:
    topic = await new_topic(kafka)
    checks = await probe("bus", settings(kafka, topic, **more))
    (wrong,) = [check for check in checks if not check.ok]
    assert problem in wrong.problem
    assert wrong.remedy
    assert "wr0ng-secret" not in str(checks)
