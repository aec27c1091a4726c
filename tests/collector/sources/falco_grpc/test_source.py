"""The source against a server that speaks as Falco does, over both of its transports."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme

from collector.decoders import DECODERS
from collector.sources.falco_grpc import FalcoGrpcSource, source
from collector.sources.falco_grpc.connection import MESSAGE_BYTES_MAX, REMEDIES, WINDOW_BYTES, Reason
from collector.sources.falco_grpc.hold import RECORDS_BYTES_MAX, RECORDS_MAX
from tests.sinks.fault_proxy import FaultProxy, Peer
from vedette.schema.errors import ConfigError
from vedette.schema.limits import MIB

from .falco import SOURCE, Certificates, Falco, StubIntake, alert, failures, metric, reading, settings, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.sources.falco_grpc import FalcoGrpcSettings

    Either = tuple[Falco, Callable[..., FalcoGrpcSettings]]


def pids(intake: StubIntake) -> list[int]:
    return [int(json.loads(item)["output_fields"]["proc.pid"]) for item in intake.items]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(source, "RETRY_S_MAX", 0.05)


@pytest.mark.parametrize("method", ["sub", "get"])
async def test_alerts_arrive_once_and_in_order(either: Either, method: str) -> None:
    falco, chosen = either
    intake = StubIntake()
    falco.push(*map(alert, range(500)))
    async with reading(intake, chosen(method=method)) as running:
        await until(lambda: intake.count == 500)
        assert metric("connected") == 1
        falco.push(*map(alert, range(500, 600)))
        await until(lambda: intake.count == 600)
        assert running.urls() == []
    assert pids(intake) == list(range(600))
    assert intake.records == list(range(1, 601))
    assert intake.origins == {falco.address}
    assert metric("connected") == 0
    assert falco.calls == 1 or method == "get"


async def test_a_falco_without_alerts_keeps_the_connection(falco: Falco) -> None:
    """gRPC's servers hang up on clients that ping them while they have nothing to say."""
    before, intake = metric("connections_total"), StubIntake()
    async with reading(intake, settings(falco.address, timeout_s=0.5, poll_interval_s=60)):
        await until(lambda: falco.versions >= 6)
        falco.push(alert(1))
    assert metric("connections_total") - before == 1
    assert falco.calls == 1


async def test_while_nothing_can_be_stored_nothing_is_read_and_falco_is_not_taken_for_dead(either: Either) -> None:
    falco, chosen = either
    intake, before = StubIntake(), metric("connections_total")
    intake.open.clear()
    falco.push(*map(alert, range(5_000)))
    async with reading(intake, chosen(timeout_s=0.5)):
        await until(lambda: falco.versions >= 4)
        size = len(alert(1).SerializeToString())
        assert falco.sent <= RECORDS_MAX + 2 * WINDOW_BYTES / size, "what is held, and what is on its way"
        intake.open.set()
        await until(lambda: intake.count == 5_000)
    assert pids(intake) == list(range(5_000))
    assert metric("connections_total") - before == 1


async def test_long_alerts_are_held_by_their_bytes(falco: Falco) -> None:
    intake, size = StubIntake(), 3 * MIB
    intake.open.clear()
    falco.push(*(alert(number, output="x" * size) for number in range(12)))
    async with reading(intake, settings(falco.address, timeout_s=0.5)) as running:
        await until(lambda: falco.versions >= 4)
        assert 1 < running._hold.held <= RECORDS_BYTES_MAX // size + 1
        intake.open.set()
        await until(lambda: intake.count == 12)
    assert pids(intake) == list(range(12))


# --- when Falco ends --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["sub", "get"])
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.simulation)])
async def test_none_is_lost_or_doubled_when_falco_restarts_in_the_middle(
    either: Either, method: str, count: int
) -> None:
    falco, chosen = either
    intake = StubIntake(numbers_only=True)
    falco.push(*(alert(number, output="", tags=[]) for number in range(count)))
    async with reading(intake, chosen(method=method)):
        for part in range(1, 5):
            await until(lambda: intake.count >= count * part / 5)  # noqa: B023 - awaited before it changes
            await falco.stop()
            await falco.start()
        await until(lambda: intake.count >= count)
    assert intake.numbers == list(range(count))
    assert intake.lost == 0


async def test_a_falco_that_is_killed_is_waited_for_and_takes_what_was_on_its_way(either: Either) -> None:
    falco, chosen = either
    intake = StubIntake()
    falco.push(*map(alert, range(10_000)))
    async with reading(intake, chosen()):
        await until(lambda: intake.count > 1_000)
        await falco.kill()
        left, before = len(falco.queue), metric("connections_total")
        await falco.start()
        await until(lambda: not falco.queue and pids(intake)[-1] == 9_999)
    found = pids(intake)
    assert found == sorted(set(found)), "nothing twice, nothing out of order"
    lost = falco.sent - len(found)
    assert lost <= 2 * WINDOW_BYTES / len(alert(1).SerializeToString())
    assert found[-left:] == list(range(10_000 - left, 10_000)), "all that Falco had kept"
    assert metric("connections_total") - before == 1


async def test_a_falco_that_comes_late(falco: Falco, caplog: pytest.LogCaptureFixture) -> None:
    await falco.kill()
    intake, before = StubIntake(), failures("unreachable")
    async with reading(intake, settings(falco.address)):
        await until(lambda: failures("unreachable") - before >= 3)
        await falco.start()
        falco.push(alert(7))
        await until(lambda: intake.count)
    assert pids(intake) == [7]
    assert fields(caplog)[0]["remedy"] == REMEDIES[Reason.UNREACHABLE]


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize("method", ["sub", "get"])
async def test_whatever_falco_says_the_source_goes_on(
    falco: Falco, code: grpc.StatusCode, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    intake, falco.fails = StubIntake(), code
    async with reading(intake, settings(falco.address, method=method)):
        await until(lambda: len(fields(caplog)) >= 2)
        falco.fails = None
        falco.push(alert(1))
        await until(lambda: intake.count)
    reason = {
        grpc.StatusCode.CANCELLED: "ended",
        grpc.StatusCode.DEADLINE_EXCEEDED: "silent",
        grpc.StatusCode.UNIMPLEMENTED: "no_service",
    }.get(code, "unreachable")
    assert "\x1b" not in "".join(line["error"] for line in fields(caplog))
    # gRPC's client says the second when a call ends while it is writing the first request.
    said = {(line["reason"], line["error"].partition(":")[0]) for line in fields(caplog)}
    assert all(told[0] == reason or told == ("unreachable", "INTERNAL") for told in said), said


def freezing(frozen: asyncio.Event) -> Any:
    """Pass everything on until `frozen`; then swallow it, with all connections open."""

    async def pump(origin: Peer, target: Peer) -> None:
        while data := await origin.read():
            if not frozen.is_set():
                await target.write(data)

    async def behave(client: Peer, proxy: FaultProxy) -> None:
        upstream = await proxy.dial()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(pump(client, upstream))
                pumps.create_task(pump(upstream, client))
        finally:
            upstream.abort()

    return behave


@pytest.mark.parametrize("method", ["sub", "get"])
async def test_a_connection_that_broke_silently_is_noticed(
    secured: Falco, certificates: Certificates, method: str
) -> None:
    intake, frozen, loop = StubIntake(), asyncio.Event(), asyncio.get_running_loop()
    async with FaultProxy(int(secured.address.rpartition(":")[2])) as proxy:
        await proxy.switch(freezing(frozen))
        chosen = certificates.settings(f"127.0.0.1:{proxy.port}", timeout_s=1, method=method)
        async with reading(intake, chosen):
            secured.push(alert(0))
            await until(lambda: intake.count == 1)
            before, begun_s = failures("silent"), loop.time()
            frozen.set()
            await until(lambda: failures("silent") > before)
            assert loop.time() - begun_s < 2 * 1 + 3, "twice the timeout, and some seconds for a busy machine"
            frozen.clear()
            secured.push(alert(1))
            await until(lambda: intake.count == 2)
    assert pids(intake) == [0, 1]


async def test_a_server_that_takes_connections_and_says_nothing(certificates: Certificates) -> None:
    async def silent(client: Peer, proxy: FaultProxy) -> None:
        while await client.read():
            pass

    before = failures("silent")
    async with FaultProxy(1) as proxy:
        await proxy.switch(silent)
        async with reading(StubIntake(), certificates.settings(f"127.0.0.1:{proxy.port}", timeout_s=0.5)):
            await proxy.met(2)
    assert failures("silent") > before


# --- what an alert can be ---------------------------------------------------------------------------------------------
async def test_a_message_beyond_all_measure_is_counted_and_the_rest_arrives(falco: Falco) -> None:
    intake = StubIntake()
    before = failures("too_large")
    async with reading(intake, settings(falco.address)):
        falco.push(alert(1))
        await until(lambda: intake.count == 1)
        falco.push(alert(2, output="x" * 10_000_000))
        await until(lambda: failures("too_large") - before == 1)
        await until(lambda: falco.calls >= 2 and falco.streaming == 1)  # the broken call would swallow it
        falco.push(alert(3))
        await until(lambda: intake.count == 2)
    assert pids(intake) == [1, 3]
    assert intake.lost == 1


async def test_the_longest_message_is_kept(falco: Falco) -> None:
    intake, long = StubIntake(), alert(1, output="x" * (MESSAGE_BYTES_MAX - 1024))
    falco.push(long, b"\xff no response", alert(2))
    async with reading(intake, settings(falco.address)):
        await until(lambda: intake.count == 3)
    assert json.loads(intake.items[0])["output"] == long.output
    assert intake.items[1] == b"\xff no response", "for the dead letters"


# --- who may read -----------------------------------------------------------------------------------------------------
async def test_certificates_are_read_again_for_each_connection(secured: Falco, certificates: Certificates) -> None:
    intake = StubIntake()
    async with reading(intake, certificates.settings(secured.address)):
        secured.push(alert(1))
        await until(lambda: intake.count == 1)
        await secured.stop()
        before = failures("files")
        (certificates.folder / "client.key").write_text("half")
        await until(lambda: failures("files") > before)
        certificates.renew()
        secured.credentials = certificates.credentials()
        await secured.start()
        secured.push(alert(2))
        await until(lambda: intake.count == 2)
    assert pids(intake) == [1, 2]


@pytest.mark.parametrize("wrong", ["client certificate", "CA", "name", "server in the clear"])
async def test_who_is_wrong_is_refused(
    wrong: str, certificates: Certificates, secured: Falco, caplog: pytest.LogCaptureFixture
) -> None:
    intake, more = StubIntake(), {}
    match wrong:
        case "client certificate":
            certificates.issue_client(trustme.CA())
        case "CA":
            trustme.CA().cert_pem.write_to_path(certificates.folder / "ca.pem")
        case "name":
            more = {"server_name": "elsewhere.example"}
        case _:
            await secured.kill()
            secured.credentials = None
            await secured.start()
    secured.push(alert(1))
    async with reading(intake, certificates.settings(secured.address, **more)):
        await until(lambda: len(fields(caplog)) >= 2)
    assert intake.items == []
    assert {line["reason"] for line in fields(caplog)} == {"tls"}, fields(caplog)
    assert "ca_file" in fields(caplog)[0]["remedy"]


async def test_a_certificate_may_bear_another_name(secured: Falco, certificates: Certificates) -> None:
    await secured.kill()
    certificates.renew("falco.example")
    secured.credentials = certificates.credentials()
    await secured.start()
    secured.push(alert(1))
    intake = StubIntake()
    async with reading(intake, certificates.settings(secured.address, server_name="falco.example")):
        await until(lambda: intake.count == 1)


@pytest.mark.parametrize("name", ["ca.pem", "client.pem", "client.key"])
async def test_a_file_that_cannot_be_used_is_named_at_the_start(certificates: Certificates, name: str) -> None:
    (certificates.folder / name).write_text("no PEM")
    made = FalcoGrpcSource(SOURCE, certificates.settings("127.0.0.1:1"), StubIntake(), DECODERS)
    with pytest.raises(ConfigError, match=rf"sources\.{SOURCE}\.falco_grpc\.(ca_file|client_cert_file): "):
        await made.start()
    await made.stop()


# --- the end ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["sub", "get"])
async def test_a_stop_takes_and_stores_what_falco_is_sending(
    either: Either, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LAST_S", 20)
    monkeypatch.setattr(source, "QUIET_S", 0.5)
    falco, chosen = either
    intake = StubIntake()
    falco.push(*map(alert, range(1_000)))
    async with reading(intake, chosen(method=method)) as running:
        await until(lambda: falco.sent)
        await running.stop()
        await running.wait()
    assert pids(intake) == list(range(falco.sent))
    assert falco.sent == 1_000
    assert intake.lost == 0


async def test_a_stop_asks_for_no_more(falco: Falco, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Falco that has more whenever it is asked does not hold up the stop."""
    monkeypatch.setattr(source, "LAST_S", 20)
    monkeypatch.setattr(source, "QUIET_S", 0.5)
    intake = StubIntake()
    async with reading(intake, settings(falco.address)) as running:
        falco.push(alert(0))
        await until(lambda: intake.count)
        stopping = asyncio.create_task(running.stop())
        while not stopping.done():
            falco.push(alert(falco.sent + len(falco.queue)))
            await asyncio.sleep(0.01)
    assert pids(intake) == list(range(falco.sent))
    assert falco.queue, "kept for the next who asks"


async def test_a_stop_that_can_store_nothing_ends_and_counts(
    falco: Falco, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source, "STOP_S", 0.05)
    intake, before = StubIntake(), metric("lost_alerts_total")
    intake.open.clear()
    async with reading(intake, settings(falco.address)) as running:
        falco.push(alert(0))
        await until(lambda: falco.sent == 1)
        falco.push(*map(alert, range(1, 5_000)))
        await until(lambda: running._hold.held == RECORDS_MAX)
        taken = RECORDS_MAX - running._hold.waiting
    assert taken, "intake has got some already, and may yet store them"
    assert metric("lost_alerts_total") - before == RECORDS_MAX
    assert intake.lost == RECORDS_MAX - taken


async def test_a_stop_before_the_start_and_while_falco_is_away() -> None:
    running = FalcoGrpcSource(SOURCE, settings("unix:///nowhere/falco.sock"), StubIntake(), DECODERS)
    await running.stop()
    await running.wait()
    before = failures("unreachable")
    await running.start()
    await until(lambda: failures("unreachable") > before)
    await running.stop()
    await running.stop()
    await running.wait()
    assert metric("connected") == 0


def fields(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was said of lost connections."""
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "vedette.sources.falco_grpc"]
    return [line for line in lines if "retry_after_s" in line]
