"""The syslog sink against a real rsyslog: what it understands of our messages, in plain and with TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trustme

from sinks import SinkContext
from sinks.syslog import SyslogSettings, SyslogSink
from vedette.schema.errors import TransientError
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo
from vedette.testing.sinks import HOSTILE, StandingClock, sample_revision

from .syslog_reader import read_cef

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.fixtures import StartRsyslog
    from tests.servers.rsyslog import Rsyslog
    from vedette.schema.alert import AlertRevision

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
REVISIONS = [
    sample_revision(
        number,
        facts=Facts(actor=text, namespace=text, name=text, command=text),
        rule=RuleInfo(f"falco:{text[:99]}", text, Level.LOW),
    )._replace(source=text)
    for number, text in enumerate(HOSTILE.values(), start=1)
]


async def delivered(server: Rsyslog, folder: Path, *revisions: AlertRevision, **changes: Any) -> None:
    sink = new_sink(server, folder, **changes)
    await sink.start()
    assert list(await sink.deliver(revisions)) == [None] * len(revisions)
    await sink.stop()


def new_sink(server: Rsyslog, folder: Path, **changes: Any) -> SyslogSink:
    keys = {"host": "127.0.0.1", "port": server.port, "tls": False, "hostname": "node-1", **changes}
    return SyslogSink("tier2", SyslogSettings.model_validate(keys), SinkContext(folder, StandingClock()))


async def until(condition: Callable[[], object]) -> None:
    """Wait; the test's timeout bounds it."""
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process changes it
        await asyncio.sleep(0.05)


async def test_rsyslog_reads_every_field(rsyslog: StartRsyslog, tmp_path: Path) -> None:
    server = rsyslog()
    await delivered(
        server, tmp_path, sample_revision()._replace(source="audit"), facility="authpriv", enterprise_id=4711
    )
    await until(server.received)
    (found,) = server.received()
    assert orjson.loads(found.pop("msg")) == orjson.loads(sample_revision().document)
    assert found == {
        "pri": str(10 * 8 + 3),
        "time": "2026-03-27T12:00:01.000000Z",
        "host": "node-1",
        "app": "vedette",
        "procid": "-",
        "msgid": "alert",
        "version": "1",
        "sd": f'[vedette@4711 uid="{1:032x}-0-1" alert="{1:032x}" version="1" level="high"'
        ' rule="5f1c0000-0000-4000-8000-000000000001" source="audit" cluster="test"]',
    }


@pytest.mark.parametrize("format_", ["ocsf", "cef"])
async def test_hostile_strings_make_no_message_of_their_own(
    rsyslog: StartRsyslog, tmp_path: Path, format_: str
) -> None:
    server = rsyslog()
    await delivered(server, tmp_path, *REVISIONS, sample_revision(99), format=format_)
    await until(lambda: len(server.received()) >= len(REVISIONS) + 1)
    found = server.received()
    assert len(found) == len(REVISIONS) + 1
    for message, revision in zip(found, [*REVISIONS, sample_revision(99)], strict=True):
        body = message["msg"].encode()
        if format_ == "ocsf":
            assert orjson.loads(body) == orjson.loads(revision.document)
        else:
            assert read_cef(body).values["externalId"] == revision.alert_id


async def test_a_restart_of_rsyslog(rsyslog: StartRsyslog, tmp_path: Path) -> None:
    server = rsyslog()
    sink = new_sink(server, tmp_path)
    await sink.start()
    assert list(await sink.deliver(REVISIONS[:2])) == [None] * 2
    await until(lambda: len(server.received()) == 2)
    await asyncio.to_thread(server.stop)
    (outcome,) = await sink.deliver(REVISIONS[2:3])
    assert isinstance(outcome, TransientError)
    await asyncio.to_thread(server.start)
    assert list(await sink.deliver(REVISIONS[2:3])) == [None]
    await sink.stop()
    await until(lambda: len(server.received()) == 3)


async def test_tls_with_certificates_both_ways(rsyslog: StartRsyslog, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, owner in (("server", authority), ("me", authority), ("stranger", trustme.CA())):
        issued = owner.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    files = {"ca": "ca.pem", "certificate": "server.pem", "key": "server.key"}
    server = await asyncio.to_thread(rsyslog, **{key: tmp_path / name for key, name in files.items()})

    def login(name: str) -> dict[str, Any]:
        return {"tls": True, "ca_file": "ca.pem", "client_cert_file": f"{name}.pem", "client_key_file": f"{name}.key"}

    stranger = new_sink(server, tmp_path, **login("stranger"))
    await stranger.start()
    assert {type(outcome) for outcome in await stranger.deliver(REVISIONS)} == {TransientError}
    await stranger.stop()
    await delivered(server, tmp_path, *REVISIONS, **login("me"))
    await until(lambda: len(server.received()) >= len(REVISIONS))
    assert [orjson.loads(found["msg"])["finding_info"]["uid"] for found in server.received()] == [
        revision.alert_id for revision in REVISIONS
    ]
