"""A real agent process, and clients that speak to its ports as the world does: what the end-to-end tests stand on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from sinks.store import StoreReader
from vedette.app.ledger import read_ledger
from vedette.app.ledger_recount import recount
from vedette.journal.sqlite import DataFolder, SqliteIntakeReader
from vedette.schema.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

VEDETTE: Final = (sys.executable, "-m", "vedette")
POLL_S = 0.02
SPAWNED: Final[list[subprocess.Popen[bytes]]] = []
"""Every agent of this test run; the fixture `no_agent_stays` ends those that a failed test left."""

AUDIT_RULE = """
title: Each audited write
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1a01
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: create}, condition: selection}
level: low
vedette: {dedup_by: ['@event']}
"""
FALCO_RULE = """
title: Each Falco alert
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1a02
logsource: {product: falco}
detection: {selection: {rule|exists: true}, condition: selection}
level: low
vedette: {dedup_by: ['@event']}
"""
FLOW_RULE = """
title: Each flow
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1a03
logsource: {product: aws, service: vpcflow}
detection: {selection: {action: ACCEPT}, condition: selection}
level: low
vedette: {dedup_by: ['@event']}
"""
RULES = f"{AUDIT_RULE}---{FALCO_RULE}---{FLOW_RULE}"
"""An alert for every event of its own, so that the store says which records were detected on, and how often."""


class Reply(NamedTuple):
    """An HTTP answer; status 0: the connection broke before there was one."""

    status: int = 0
    fields: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Outcome(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Agent:
    """Starts, kills and restarts `vedette run` on one folder. `prefix` is put before every command (`nsenter …`)."""

    def __init__(self, folder: Path, *, prefix: Sequence[str] = (), rules: str = RULES, **settings: Any) -> None:
        self.folder = folder
        self.prefix = list(prefix)
        self.falco, self.audit = free_port(), free_port()
        self.rules = folder / "rules.yml"
        self.rules.write_text(rules)
        self.config = folder / "vedette.yaml"
        self.settings: dict[str, Any] = {
            "data_dir": str(folder / "data"),
            "sources": {
                "falco": {"http": {"listen": f"127.0.0.1:{self.falco}", "routes": {"/": "falco", "/intake/*": "*"}}},
                "audit": {"http": {"listen": f"127.0.0.1:{self.audit}", "routes": {"/k8s-audit": "kube_audit"}}},
            },
            "rules": {"packs": [], "paths": [str(self.rules)]},
            "sinks": {"store": {"store": {}}},
            "metrics": {"listen": "127.0.0.1:0"},
            **settings,
        }
        self.configure()
        self.log = folder / "vedette.log"
        self.data = DataFolder(Path(self.settings["data_dir"]))
        """Where tests look; one that looks at a copy names it here."""
        self.environment = environment()
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self) -> None:
        """Write the configuration down, as the settings are now."""
        self.config.write_text(yaml.safe_dump(self.settings))

    @property
    def ports(self) -> list[int]:
        heard = [source["http"]["listen"] for source in self.settings["sources"].values() if "http" in source]
        return [int(listen.rpartition(":")[2]) for listen in heard]

    # --- the process ------------------------------------------------------------------------------------------------
    def command(self, *arguments: object) -> list[str]:
        return [*self.prefix, *VEDETTE, *map(str, arguments), "--config", str(self.config)]

    def spawn(self, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            SPAWNED.append(
                subprocess.Popen(self.command("run"), stdin=stdin, stdout=log, stderr=log, env=self.environment)
            )
        return SPAWNED[-1]

    async def start(self, stdin: int | None = subprocess.DEVNULL) -> None:
        """Return when it is ready: all its ports, and its control socket, answer."""
        seen = self.log.stat().st_size if self.log.exists() else 0
        self.process = self.spawn(stdin)
        for port in self.ports:
            while not await accepts(port):
                assert self.process.poll() is None, self.tail()
        while not any(line["message"] == "Vedette is running" for line in self.logged(seen)):
            assert self.process.poll() is None, self.tail()
            await asyncio.sleep(POLL_S)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self, timeout_s: float = 60) -> int:
        """Stop it cleanly and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status: int = self.process.wait(timeout_s)
        return status

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def memory_bytes(self) -> int:
        """Memory that belongs to the process alone: neither files nor what others share."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel does not say RssAnon")

    # --- what it says -----------------------------------------------------------------------------------------------
    def logged(self, since: int = 0) -> list[dict[str, Any]]:
        """Its log lines from byte `since` on; what is no JSON line has the key `text`."""
        lines = self.log.read_bytes()[since:].decode("utf-8", "replace").splitlines()
        return [_log_line(line) for line in lines]

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def run(self, *arguments: object) -> Outcome:
        """Run a command of the command line on the same configuration."""
        return run(self.command(*arguments))

    async def settled(self) -> None:
        """Return when nothing waits any more: all that was taken in is detected, all alerts are delivered."""
        while self.waiting():
            assert self.alive, self.tail()
            await asyncio.sleep(POLL_S)

    def received(self) -> int:
        return sum(source.received for source in read_ledger(self.data).sources)

    def waiting(self) -> int:
        try:
            ledger = read_ledger(self.data)
        except TransientError:
            return 1
        return sum(source.waiting for source in ledger.sources) + sum(sink.waiting for sink in ledger.deliveries)

    def alerts(self) -> list[dict[str, Any]]:
        store = StoreReader(self.data.store)
        with contextlib.closing(store):
            return [store.get(row.alert_id) for row in store.list(limit=10**7)]

    def assert_balanced(self) -> None:
        """Everything is accounted for, and what the raw rows say comes to the same."""
        folder = self.data
        ledger = read_ledger(folder)
        assert ledger.balanced, ledger
        assert not recount(folder).differences
        with contextlib.closing(SqliteIntakeReader(folder.intake)) as intake:
            stored = Counter[str]()
            for chunk in intake.scan():
                for run in chunk.runs:
                    stored[run.source] += run.count
        for source in ledger.sources:
            assert stored[source.source] == source.received - source.duplicate, source


def _log_line(line: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"message": "", "text": line}
    return found


def environment() -> dict[str, str]:
    """No configuration of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")}
    return {**kept, "HOME": "/", "PYTHONUNBUFFERED": "1"}


def run(command: Sequence[object]) -> Outcome:
    done = subprocess.run([*map(str, command)], capture_output=True, check=False, env=environment())
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


async def until(condition: Callable[[], object]) -> None:
    """Wait; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(POLL_S)


# --- clients --------------------------------------------------------------------------------------------------------
async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.01)
        return False
    writer.close()
    return True


async def post(port: int, path: str, body: bytes, fields: Mapping[str, str] | None = None) -> Reply:
    """Send a body on a connection of its own, and read the answer to its end."""
    lines = [f"POST {path} HTTP/1.1", "Host: v", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024 * 1024)
        try:
            with contextlib.suppress(ConnectionError):  # an answer that comes before the body was read
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
            return await _read_reply(reader)
        finally:
            writer.close()
    return Reply()


async def _read_reply(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return Reply(int(head[0].split()[1]), fields, await reader.readexactly(int(fields["content-length"])))


# --- records --------------------------------------------------------------------------------------------------------
def audit_event(audit_id: str, **changes: Any) -> dict[str, Any]:
    """An audited write that the rule above matches."""
    event = {
        "level": "Metadata",
        "auditID": audit_id,
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/shop/configmaps",
        "verb": "create",
        "user": {"username": "ann"},
        "sourceIPs": ["10.0.0.9"],
        "objectRef": {"resource": "configmaps", "namespace": "shop"},
        "responseStatus": {"metadata": {}, "code": 201},
        "stageTimestamp": "2026-11-20T10:00:00.000000Z",
    }
    return event | changes


def event_list(items: Sequence[bytes]) -> bytes:
    """A batch as the API server's webhook sends it."""
    return b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[' + b",".join(items) + b"]}"


def falco_alert(output: str, **changes: Any) -> dict[str, Any]:
    """An alert as Falco sends it."""
    alert = {
        "hostname": "node-1",
        "output": output,
        "priority": "Warning",
        "rule": "Terminal shell in container",
        "source": "syscall",
        "time": "2026-11-20T10:00:00.000000000Z",
        "output_fields": {"container.id": "aaaaaaaaaaaa", "k8s.ns.name": "shop", "k8s.pod.name": "cart-0"},
    }
    return alert | changes


def titled(alerts: Sequence[dict[str, Any]], title: str) -> list[dict[str, Any]]:
    return [alert for alert in alerts if alert["finding_info"]["title"] == title]


def event_ids(alerts: Sequence[dict[str, Any]]) -> Counter[str]:
    """How often each of the source's own ids stands in the evidence."""
    return Counter(
        event_id for alert in alerts for sample in alert["evidences"] for event_id in sample["data"]["event_ids"]
    )


# --- load ----------------------------------------------------------------------------------------------
BATCH: Final = 20
"""Events of one audit batch."""


class Clients:
    """Send until told to stop, as Falco's retries and the API server's webhook do.

    What was not answered with a 2xx is sent again, byte for byte, until it is. What was acknowledged is noted, and so
    is every other answer.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.stopping = False
        self.audit_ids: list[str] = []
        self.falco_alerts = 0
        self.refusals: list[tuple[str, Reply]] = []

    @property
    def acknowledged(self) -> int:
        return len(self.audit_ids) + self.falco_alerts

    async def audit(self, name: str) -> None:
        number = 0
        while not self.stopping:
            ids = [f"{name}-{number}-{item}" for item in range(BATCH)]
            body = event_list([json.dumps(audit_event(audit_id)).encode() for audit_id in ids])
            await self.insist("audit", self.agent.audit, "/k8s-audit?timeout=30s", body)
            self.audit_ids += ids
            number += 1

    async def falco(self, name: str) -> None:
        number = 0
        while not self.stopping:
            await self.insist("falco", self.agent.falco, "/", json.dumps(falco_alert(f"{name} {number}")).encode())
            self.falco_alerts += 1
            number += 1

    async def insist(self, kind: str, port: int, path: str, body: bytes) -> None:
        while not (reply := await post(port, path, body)).accepted:
            self.refusals.append((kind, reply))
            await asyncio.sleep(POLL_S)

    @contextlib.asynccontextmanager
    async def sending(self, *, audit: int = 2, falco: int = 6) -> AsyncGenerator[None]:
        """Run so many of them; at the end they finish what they began."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(audit):
                tasks.create_task(self.audit(f"a{number}"))
            for number in range(falco):
                tasks.create_task(self.falco(f"f{number}"))
            yield
            self.stopping = True

    def assert_all_detected_once(self, agent: Agent) -> None:
        """The rule `AUDIT_RULE` alone must be in force: it alerts on each audited write."""
        alerts = agent.alerts()
        single = event_ids(titled(alerts, "Each audited write"))
        assert set(single) == set(self.audit_ids), "an alert for every acknowledged item and for no other"
        assert set(single.values()) == {1}, "exactly one"
        rolled = titled(alerts, "Terminal shell in container")
        assert sum(alert["count"] for alert in rolled) == self.falco_alerts
        agent.assert_balanced()
