"""Trying an OpenSearch without leaving a trace: what `vedette doctor` shows of this sink."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from sinks.opensearch import bulk
from sinks.opensearch.client import NOT_FOUND, OK, UNAUTHORIZED, Client, remedy_for, words
from sinks.opensearch.templates import LOGS, Standing, standing, template
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.opensearch.connection import Answer
    from sinks.opensearch.settings import OpenSearchSettings
    from vedette.runtime.sink_context import SinkContext

PROBE_S: Final = 14.0
"""All checks together: doctor waits a second longer."""
REQUEST_S: Final = 5.0
_MAJOR_VERSIONS: Final = ("2", "3")
_PERMISSIONS: Final = "give the role of Vedette's user the permissions of docs/sinks/opensearch.md"
_BLOCKS: Final = {
    "index.blocks.read_only_allow_delete": "free disk on the server, which then takes its flood-stage block off",
    "index.blocks.read_only": "set index.blocks.read_only of the index to null",
    "index.blocks.write": "set index.blocks.write of the index to null",
}


async def probe(name: str, settings: OpenSearchSettings, context: SinkContext) -> Sequence[Check]:
    """Try every address, then the cluster behind the first that answers, within PROBE_S seconds."""
    probing = _Probing(settings)
    try:
        async with asyncio.timeout(PROBE_S), contextlib.AsyncExitStack() as stack:
            clients: list[Client] = []
            for url in settings.url:
                one = settings.model_copy(update={"url": (url,), "timeout_s": min(settings.timeout_s, REQUEST_S)})
                client = await asyncio.to_thread(Client, name, one, context.data_dir, context.clock)
                stack.push_async_callback(client.close)
                if await probing.node(client, url):
                    clients.append(client)
            if clients:
                await probing.cluster(clients[0])
    except ConfigError as error:
        probing.say("read the files that the settings name", str(error), "correct the settings or the files")
    except TransientError as error:
        probing.say("go on trying", str(error), "look at the server, and try again")
    except ValueError as error:  # what answers is no OpenSearch after all
        probing.say("go on trying", f"an answer can't be read ({safe_text(str(error))})", "look at what stands there")
    except TimeoutError:
        probing.say("go on trying", f"the time was up after {PROBE_S:g} s", "look at the server and the network")
    return probing.checks


class _Version(msgspec.Struct):
    number: str = ""
    distribution: str = ""


class _Info(msgspec.Struct):
    version: _Version
    tagline: str = ""


class _Health(msgspec.Struct):
    status: str


class _Index(msgspec.Struct):
    settings: dict[str, str]


_INFO: Final = msgspec.json.Decoder(_Info)
_HEALTH: Final = msgspec.json.Decoder(_Health)
_INDICES: Final = msgspec.json.Decoder(dict[str, _Index])


class _Probing:
    """The checks so far."""

    def __init__(self, settings: OpenSearchSettings) -> None:
        self.checks: list[Check] = []
        self._settings = settings

    def say(self, what: str, problem: str = "", remedy: str = "") -> None:
        self.checks.append(Check(what, problem, remedy if problem else ""))

    # --- one address --------------------------------------------------------------------------------------------------
    async def node(self, client: Client, url: str) -> bool:
        """Reach it, log in, see what it is; whether there is an OpenSearch."""
        reach = f"reach {url}"
        try:
            answer = await client.info()
        except TransientError as error:
            self.say(reach, str(error), "look at url, ca_file, the server and the network between")
            return False
        self.say(reach)
        if self._settings.username:
            login = f"log in at {url} as {safe_text(self._settings.username)}"
            refused = words(answer)[1] if answer.status == UNAUTHORIZED else ""
            self.say(login, refused, "correct username and password")
        if answer.status != OK:
            if answer.status != UNAUTHORIZED or not self._settings.username:
                self._refused(f"ask {url} what it is", answer)
            return False
        problem = _version_problem(answer.body)
        self.say(f"find OpenSearch 2.x or 3.x at {url}", problem, "name the address of an OpenSearch 2.x or 3.x")
        return not problem

    # --- the cluster --------------------------------------------------------------------------------------------------
    async def cluster(self, client: Client) -> None:
        """Look at health, templates and blocks, and whether alerts may be written."""
        await self._health(client)
        if self._settings.manage_template:
            for log in LOGS:
                await self._template(client, log)
        prefix = self._settings.index_prefix
        pattern = f"{prefix}-alerts-*,{prefix}-events-*"
        answer = await client.blocks(pattern)
        if answer.status != OK:
            self._refused(f"look for blocks on {pattern}", answer)
            return
        indices = _INDICES.decode(answer.body)
        self._blocks(pattern, indices)
        await self._write(client, max(indices, key=lambda index: index[-10:], default=""))

    async def _health(self, client: Client) -> None:
        what = "look at the cluster's health"
        answer = await client.health()
        if answer.status != OK:
            self._refused(what, answer)
            return
        status = safe_text(_HEALTH.decode(answer.body).status, 20)
        problem = "" if status in {"green", "yellow"} else f"it is {status}: a primary shard is missing"
        self.say(f"{what}: {status}", problem, "look at GET _cluster/allocation/explain and the server's disks")

    async def _template(self, client: Client, log: str) -> None:
        name = f"{self._settings.index_prefix}-{log}"
        what = f"look at the index template {name}"
        answer = await client.template(name)
        if answer.status == NOT_FOUND:
            self.say(f"{what}: not there yet, Vedette installs it when it starts")
        elif answer.status != OK:
            self._refused(what, answer)
        else:
            state = standing(answer.body, template(log, self._settings))
            problem = f"it is {state.value}" if state is Standing.FOREIGN else ""
            self.say(f"{what}: {state.value}", problem, "choose another index_prefix, or set manage_template: false")

    def _blocks(self, pattern: str, indices: dict[str, _Index]) -> None:
        what = f"look for blocks on {pattern}"
        for index, found in sorted(indices.items()):
            for key, remedy in _BLOCKS.items():
                if found.settings.get(key) == "true":
                    self.say(what, f"{safe_text(index)} has {key}", remedy)
                    return
        self.say(what)

    async def _write(self, client: Client, index: str) -> None:
        """Ask to replace a version of a document that never was: a conflict, unless the role may not write."""
        if not index:
            self.say("write: not tried, there is no index yet")
            return
        condition = ',"if_seq_no":0,"if_primary_term":1'
        entry = bulk.line("index", index, "vedette-doctor", b"{}", condition)
        answer = await client.bulk(entry.content)
        if answer.status != OK:
            self._refused(f"write to {index}", answer)
            return
        outcome = bulk.outcomes([entry], answer.body)[0]
        self.say(f"write to {index}", str(outcome or ""), _PERMISSIONS)

    def _refused(self, what: str, answer: Answer) -> None:
        kind, said = words(answer)
        self.say(what, f"the answer is {answer.status}: {said}", remedy_for(answer.status, kind) or "look at its log")


def _version_problem(body: bytes) -> str:
    """Say what is wrong with what answers at `GET /`, "" if it is an OpenSearch that we know."""
    try:
        info = _INFO.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "what answers there is no OpenSearch"
    number = safe_text(info.version.number, 40)
    if info.version.distribution != "opensearch":
        return f"what answers there is Elasticsearch {number}" if number else "what answers there is no OpenSearch"
    if number.partition(".")[0] not in _MAJOR_VERSIONS:
        return f"it is OpenSearch {number}, for which Vedette is not made"
    return ""
