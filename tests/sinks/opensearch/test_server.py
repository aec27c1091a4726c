"""The sink against real servers: 2.19 with TLS and users, 3.x without."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
import pytest
import trustme

from collector.decoders import DECODERS
from sinks.opensearch import OpenSearchSettings, OpenSearchSink
from sinks.opensearch.templates import FIELDS_MAX
from tests.servers.opensearch import OpenSearch
from vedette.pipeline.verdicts import revise_closed
from vedette.runtime.sink import ForwardedEvent, Sink
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.event import Event, Facts
from vedette.schema.level import Level
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo
from vedette.schema.verdict import Judgement, make_verdict
from vedette.testing.sinks import CONTRACT, HOSTILE, OPENED_NS, SinkBench, StandingClock, sample_revision

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
ALERTS = "vedette-alerts-*"
EVENTS = "vedette-events-*"
AUDIT = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "Metadata",
    "auditID": "6b1f0c52-0000-4000-8000-000000000001",
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/payment/secrets/card",
    "verb": "get",
    "user": {"username": "mara", "groups": ["system:authenticated"]},
    "sourceIPs": ["10.0.0.1"],
    "objectRef": {"resource": "secrets", "namespace": "payment", "name": "card", "apiVersion": "v1"},
    "responseStatus": {"code": 200},
    "requestReceivedTimestamp": "2026-03-27T12:00:00.000000Z",
    "stageTimestamp": "2026-03-27T12:00:00.100000Z",
}


@pytest.fixture
def server(opensearch: OpenSearch) -> OpenSearch:
    return opensearch


def settings_for(server: OpenSearch, **more: Any) -> OpenSearchSettings:
    access = {"username": server.user, "password": server.password, "ca_file": server.ca} if server.user else {}
    return OpenSearchSettings.model_validate({"url": server.url, "timeout_s": 20, **access, **more})


def sink_for(server: OpenSearch, folder: Path, **more: Any) -> OpenSearchSink:
    return OpenSearchSink("search", settings_for(server, **more), SinkContext(folder, StandingClock()))


@asynccontextmanager
async def running(sink: OpenSearchSink, *, start: bool = True) -> AsyncGenerator[OpenSearchSink]:
    try:
        if start:
            await sink.start()
        yield sink
    finally:
        await sink.stop()


class ServerBench:
    once = True

    def __init__(self, server: OpenSearch, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def make(self) -> Sink:
        return sink_for(self._server, self._folder)

    def received(self) -> Sequence[dict[str, Any]]:
        found = [hit["_source"] for hit in self._server.search(ALERTS)]
        return sorted(found, key=lambda document: document["unmapped"]["opened_ns"])


@pytest.mark.parametrize("check", CONTRACT.values(), ids=CONTRACT.keys())
async def test_contract(check: Callable[[SinkBench], Awaitable[None]], server: OpenSearch, tmp_path: Path) -> None:
    await check(ServerBench(server, tmp_path))


# --- documents --------------------------------------------------------------------------------------------------------
async def deliver(sink: OpenSearchSink, revisions: Sequence[Any]) -> None:
    assert list(await sink.deliver(revisions)) == [None] * len(revisions)


def fields(server: OpenSearch, index: str) -> set[str]:
    (mapping,) = {
        orjson.dumps(found["mappings"], option=orjson.OPT_SORT_KEYS)
        for found in server.request("GET", f"/{index}/_mapping").values()
    }
    return set(_paths(orjson.loads(mapping)["properties"], ""))


def _paths(properties: dict[str, Any], place: str) -> Iterator[str]:
    for name, mapping in properties.items():
        yield place + name
        yield from _paths(mapping.get("properties", {}), f"{place}{name}.")


async def test_hostile_strings_are_found_and_map_nothing(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(1)])
        before = fields(server, ALERTS)
        assert 50 < len(before) < FIELDS_MAX
        texts = list(HOSTILE.values())
        for start in range(0, 1000, 250):
            await deliver(sink, [hostile_revision(number, texts) for number in range(start, start + 250)])
    assert server.count(ALERTS) == 1001
    assert fields(server, ALERTS) == before
    for text in texts:
        wanted = {"term": {"unmapped.facts.actor": text if len(text) <= 1024 else text[:1023] + "…"}}
        assert server.search(ALERTS, wanted, size=1), text[:20]


def hostile_revision(number: int, texts: list[str]) -> Any:
    text = texts[number % len(texts)]
    facts = Facts(actor=text, pod=text, command=text, images=(text,), groups=(text,), name=f"{number}")
    rule = RuleInfo(f"falco:{text[:100]}", text, Level.LOW, tags=(text,))
    return judged(sample_revision(100 + number, facts=facts, rule=rule), text)


def judged(revision: Any, text: str) -> Any:
    """Close an alert as benign, with the same words for everything."""
    verdict = make_verdict(Judgement.BENIGN, text, text, OPENED_NS)
    return revise_closed(revision.document.decode(), verdict, revision.generation)


ODD: Final[Sequence[dict[str, Any]]] = [
    {"count": "many"},
    {"count": 1 << 80},
    {"count": [1, [2, [3]]]},
    {"time": "yesterday"},
    {"time": 10**17},
    {"time": -(10**15)},
    {"start_time": True},
    {"message": ["a", "b"]},
    {"severity": "x" * 40_000},
    {"new": {f"key{number}": {"deep": number} for number in range(3000)}},
    {"a.b.c": 1, "new.x": 5},
    {"unmapped": {"labels": {"team.": "a", "x..y": "b", "app.kubernetes.io/name": "c", " ": "d", "\x00": "e"}}},
    {"unmapped": {"labels": {".": "a", "..": "b", ".x": "c"}}},
    {"resources": [{"name": ["a", None, "b"]}, {"name": None}]},
    {"unmapped": {"explanation": [{"where": "w" * 50_000, "value": None}, {"extra": [[[]]]}]}},
]


async def test_documents_that_are_odd_are_taken_as_they_are(server: OpenSearch, tmp_path: Path) -> None:
    revisions = [sample_revision(number) for number in range(len(ODD))]
    async with running(sink_for(server, tmp_path)) as sink:
        outcomes = await sink.deliver(
            [
                revision._replace(document=msgspec.json.encode({**orjson.loads(revision.document), **change}))
                for revision, change in zip(revisions, ODD, strict=True)
            ]
        )
    assert [change for change, outcome in zip(ODD, outcomes, strict=True) if outcome is not None] == []
    found = {hit["_id"]: hit["_source"] for hit in server.search(ALERTS)}
    for revision, change in zip(revisions, ODD, strict=True):
        kept = {key: found[revision.alert_id][key] for key in change}
        assert kept == msgspec.json.decode(msgspec.json.encode(change))


async def test_what_can_never_be_indexed_is_refused_alone(server: OpenSearch, tmp_path: Path) -> None:
    whole = sample_revision(1)
    broken = [whole.document[:-1], b"[]", b'{"unmapped":7}', b'{"a":"\xff"}']
    revisions = [sample_revision(number)._replace(document=document) for number, document in enumerate(broken, 2)]
    async with running(sink_for(server, tmp_path)) as sink:
        first, *others = await sink.deliver([whole, *revisions])
    assert first is None
    assert {type(outcome) for outcome in others} == {PermanentError}, others
    assert all(str(outcome).isprintable() for outcome in others)
    assert server.count(ALERTS) == 1


async def test_alerts_are_found_as_analysts_look_for_them(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(number) for number in (1, 2)])
        closed = orjson.loads(sample_revision(3).document)
        closed["unmapped"]["rules"] = [{**closed["unmapped"]["rule"], "source": "audit", "tags": ["attack.t1609"]}]
        revision = sample_revision(3)._replace(document=orjson.dumps(closed))
        verdict = make_verdict(Judgement.BENIGN, "sam", "change CHG-17", OPENED_NS)
        await deliver(sink, [revise_closed(revision.document.decode(), verdict, 0)])
    day = {"gte": "2026-03-27T00:00:00Z", "lt": "2026-03-28T00:00:00Z", "format": "strict_date_time_no_millis"}
    for query in (
        {"range": {"@timestamp": day}},
        {"range": {"time": {"gte": OPENED_NS // 10**6, "format": "epoch_millis"}}},
        {"match": {"message": "mara"}},
        {"query_string": {"query": "unmapped.facts.namespace:shop AND severity:High"}},
        {"term": {"finding_info.title": "Shell In A Pod"}},
        {"match": {"finding_info.title.text": "shell"}},
        {"term": {"finding_info.attacks.technique.uid": "T1609"}},
        {"match": {"unmapped.explanation.value.text": "get"}},
    ):
        assert len(server.search(ALERTS, query)) == 3, query
    for about_verdict in (
        {"match": {"comment": "CHG-17"}},
        {"query_string": {"query": "unmapped.verdict.judgement:benign AND unmapped.verdict.analyst:sam"}},
        {"match": {"unmapped.verdict.reason": "chg-17"}},
        {"range": {"unmapped.verdict.time_ns": {"gte": OPENED_NS}}},
        {"term": {"evidences.verdict": "Benign"}},
        {"term": {"evidences.verdict_id": 5}},
        {"term": {"status": "Resolved"}},
        {"term": {"unmapped.rules.tags": "attack.t1609"}},
    ):
        (found,) = server.search(ALERTS, about_verdict)
        assert found["_source"]["unmapped"]["alert_id"] == f"{3:032x}", about_verdict
    (index,) = server.request("GET", f"/{ALERTS}/_settings")
    assert index == "vedette-alerts-2026.03.27"


# --- events -----------------------------------------------------------------------------------------------------------
def event(number: int = 1, **change: Any) -> ForwardedEvent:
    payload = orjson.dumps({**AUDIT, "auditID": f"id-{number}", **change})
    run = Run("audit", "kube_audit", 1, origin="audit.log")
    decoder = DECODERS["kube_audit"]
    record = Record(number, OPENED_NS + number, payload, run, number)
    return ForwardedEvent(Event(record, decoder, decoder.decode(payload, "")), "prod", {"team": "platform"})


async def test_events_are_there_once_and_found(server: OpenSearch, tmp_path: Path) -> None:
    texts = [text for text in HOSTILE.values() if len(text) < 1000]
    events = [event(number) for number in range(1, 51)]
    events += [event(100 + number, user={"username": text}, verb=text) for number, text in enumerate(texts)]
    async with running(sink_for(server, tmp_path)) as sink:
        assert list(await sink.deliver_events(events)) == [None] * len(events)
        before = fields(server, EVENTS)
        assert list(await sink.deliver_events(events[::2])) == [None] * len(events[::2])
        odd = [event(200 + number, **{f"key{number}": {"x": number}}) for number in range(200)]
        assert list(await sink.deliver_events(odd)) == [None] * 200
    assert fields(server, EVENTS) == before
    assert server.count(EVENTS) == len(events) + 200
    assert len(server.search(EVENTS, {"term": {"facts.namespace": "payment"}})) == len(events) + 200
    assert len(server.search(EVENTS, {"term": {"facts.actor": "mara"}})) == 250
    assert len(server.search(EVENTS, {"query_string": {"query": 'labels:"team:platform" AND seq:7'}})) == 1
    for text in texts:
        assert server.search(EVENTS, {"term": {"facts.actor": text}}), text
    (hit,) = server.search(EVENTS, {"term": {"event_ids": "id-7"}})
    assert hit["_source"]["event"]["original"].encode() == events[6].event.record.payload


DOCS = Path(__file__).parents[3] / "docs/sinks/opensearch.md"
REQUEST = re.compile(r"^(GET|POST) (\S+)\n(\{.*?\n\})\n", re.MULTILINE | re.DOTALL)

QUERY = re.compile(r"^\| .* \| `(\S+:.*)` \|$", re.MULTILINE)


async def test_the_queries_of_the_docs_find_something(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)) as sink:
        who = "system:serviceaccount:shop:cart"
        facts = Facts(actor=who, resource="pods/exec", namespace="payment", command="sh -c 'curl http://x'")
        await deliver(sink, [sample_revision(1, facts=facts)])
        await sink.deliver_events([event(user={"username": "mara"})])
    for index in (ALERTS, EVENTS):
        server.request("POST", f"/{index}/_refresh")
    requests, queries = REQUEST.findall(DOCS.read_text()), QUERY.findall(DOCS.read_text())
    assert len(requests) >= 3
    assert len(queries) >= 5
    for method, path, body in requests:
        assert server.request(method, f"/{path}", orjson.loads(body))["hits"]["total"]["value"] > 0, body
    for query in queries:
        assert server.search(ALERTS, {"query_string": {"query": query}}), query


# --- refusals ---------------------------------------------------------------------------------------------------------
async def test_a_block_holds_alerts_until_it_is_taken_off(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(1)])
        server.request("PUT", f"/{ALERTS}/_settings", {"index.blocks.read_only_allow_delete": True})
        (outcome,) = await sink.deliver([sample_revision(2)])
        assert isinstance(outcome, TransientError)
        assert "Free the server's disk" in str(outcome)
        server.request("PUT", f"/{ALERTS}/_settings", {"index.blocks.read_only_allow_delete": None})
        await deliver(sink, [sample_revision(2)])
    assert server.count(ALERTS) == 2


async def refused(sink: OpenSearchSink) -> Exception | None:
    """What is said of one revision, whether of it or of all."""
    try:
        (outcome,) = await sink.deliver([sample_revision(1)])
    except TransientError as error:
        return error
    return outcome


@contextmanager
def cluster_setting(server: OpenSearch, key: str, value: Any) -> Generator[None]:
    server.request("PUT", "/_cluster/settings", {"persistent": {key: value}})
    try:
        yield
    finally:
        server.request("PUT", "/_cluster/settings", {"persistent": {key: None}})


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("cluster.max_shards_per_node", 1, "cluster.max_shards_per_node"),
        ("action.auto_create_index", "false", "action.auto_create_index"),
        ("cluster.blocks.read_only", True, "take the block off"),
    ],
)
async def test_what_the_cluster_refuses_is_no_fault_of_the_alert(
    key: str, value: Any, remedy: str, server: OpenSearch, tmp_path: Path
) -> None:
    async with running(sink_for(server, tmp_path, shards=2)) as sink:
        with cluster_setting(server, key, value):
            refusal = await refused(sink)
            assert type(refusal) is TransientError
            assert remedy in str(refusal)
        await deliver(sink, [sample_revision(1)])
    assert server.count(ALERTS) == 1


async def test_a_closed_index_takes_alerts_when_it_is_opened(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(1)])
        server.request("POST", f"/{ALERTS}/_close")
        (outcome,) = await sink.deliver([sample_revision(2)])
        assert isinstance(outcome, TransientError)
        assert "Open the index" in str(outcome)
        server.request("POST", f"/{ALERTS}/_open")
        await deliver(sink, [sample_revision(2)])


async def test_a_wrong_password_can_be_corrected(opensearch_secured: OpenSearch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    async with running(sink_for(opensearch_secured, tmp_path, password=None, password_file=file), start=False) as sink:
        for call in (sink.start(), sink.deliver([sample_revision(1)])):
            with pytest.raises(TransientError, match="Correct username and password"):
                await call
        file.write_text(opensearch_secured.password + "\n")
        await deliver(sink, [sample_revision(1)])
    assert opensearch_secured.count(ALERTS) == 1


async def test_an_untrusted_certificate_is_refused(opensearch_secured: OpenSearch, tmp_path: Path) -> None:
    stranger = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    async with running(sink_for(opensearch_secured, tmp_path, ca_file=stranger), start=False) as sink:
        with pytest.raises(TransientError, match=r"not trusted.*ca_file"):
            await sink.start()
        assert opensearch_secured.ca is not None
        stranger.write_bytes(opensearch_secured.ca.read_bytes())
        await deliver(sink, [sample_revision(1)])


async def test_a_server_that_goes_and_returns_holds_everything_once(server: OpenSearch, tmp_path: Path) -> None:
    delivered: dict[int, int] = {}
    progress = asyncio.Condition()

    async def feed(sink: OpenSearchSink) -> None:
        for revision in range(1, 41):
            batch = [sample_revision(number, revision=revision) for number in range(1, 21)]
            while batch:
                try:
                    outcomes = await sink.deliver(batch)
                except TransientError:
                    outcomes = [TransientError("all")] * len(batch)
                    await asyncio.sleep(0.05)
                assert not any(isinstance(outcome, PermanentError) for outcome in outcomes)
                batch = [one for one, outcome in zip(batch, outcomes, strict=True) if outcome is not None]
            async with progress:
                delivered[revision] = 20
                progress.notify_all()

    async with running(sink_for(server, tmp_path, timeout_s=3)) as sink:
        feeding = asyncio.ensure_future(feed(sink))
        for count, leave in ((5, server.kill), (15, server.stop), (25, server.pause)):
            async with progress:
                while len(delivered) < count and not feeding.done():
                    await progress.wait()
            await asyncio.to_thread(leave)
            await asyncio.to_thread(server.ensure)
        await feeding
    hits = server.search(ALERTS)
    assert sorted(hit["_id"] for hit in hits) == [f"{number:032x}" for number in range(1, 21)]
    assert {hit["_source"]["unmapped"]["revision"] for hit in hits} == {40}


# --- templates --------------------------------------------------------------------------------------------------------
def meta(server: OpenSearch) -> dict[str, Any]:
    (found,) = server.request("GET", "/_index_template/vedette-alerts")["index_templates"]
    kept: dict[str, Any] = found["index_template"]["_meta"]["vedette"]
    return kept


async def test_templates_follow_the_settings_but_never_a_newer_version(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)):
        first = meta(server)
    async with running(sink_for(server, tmp_path, shards=2)) as sink:
        assert meta(server) != first
        await deliver(sink, [sample_revision(1)])
    ((_, found),) = server.request("GET", f"/{ALERTS}/_settings").items()
    assert found["settings"]["index"]["number_of_shards"] == "2"
    newer = server.request("GET", "/_index_template/vedette-alerts")["index_templates"][0]["index_template"]
    newer["_meta"] = {"vedette": {"version": 99}}
    server.request("PUT", "/_index_template/vedette-alerts", newer)
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(2)])
        assert meta(server) == {"version": 99}


async def test_a_template_of_somebody_else_is_left_alone(server: OpenSearch, tmp_path: Path) -> None:
    server.request("PUT", "/_index_template/vedette-alerts", {"index_patterns": ["vedette-alerts-*"]})
    async with running(sink_for(server, tmp_path), start=False) as sink:
        with pytest.raises(TransientError, match=r"is not Vedette's.*index_prefix"):
            await sink.start()
    server.request("DELETE", "/_index_template/vedette-alerts")
    clash = {"index_patterns": ["vedette-alerts-*"], "priority": 200}
    server.request("PUT", "/_index_template/another", clash)
    async with running(sink_for(server, tmp_path), start=False) as sink:
        with pytest.raises(TransientError, match=r"another.*index_prefix"):
            await sink.start()
    async with running(sink_for(server, tmp_path, manage_template=False)) as sink:
        await deliver(sink, [sample_revision(1)])


# --- the role of the docs ---------------------------------------------------------------------------------------------
def documented_role() -> dict[str, Any]:
    text = DOCS.read_text().partition("PUT _plugins/_security/api/roles/vedette\n")[2].partition("```")[0]
    role: dict[str, Any] = orjson.loads(text)
    return role


PASSWORD = "Gr4nted-only-what-is-told"


@pytest.fixture
def least(opensearch_secured: OpenSearch) -> Iterator[OpenSearch]:
    """A user `least` who has the role that the docs advise, and nothing else, not even what everybody has at first."""
    api = "/_plugins/_security/api"
    everybody = opensearch_secured.request("GET", f"{api}/rolesmapping/own_index")["own_index"]
    opensearch_secured.request("DELETE", f"{api}/rolesmapping/own_index")
    opensearch_secured.request("PUT", f"{api}/roles/least", documented_role())
    opensearch_secured.request("PUT", f"{api}/internalusers/least", {"password": PASSWORD})
    opensearch_secured.request("PUT", f"{api}/rolesmapping/least", {"users": ["least"]})
    yield opensearch_secured
    for kind in ("rolesmapping", "internalusers", "roles"):
        opensearch_secured.request("DELETE", f"{api}/{kind}/least")
    opensearch_secured.request("PUT", f"{api}/rolesmapping/own_index", {"users": everybody["users"]})


async def test_the_role_of_the_docs_suffices(least: OpenSearch, tmp_path: Path) -> None:
    sink = sink_for(least, tmp_path, username="least", password=PASSWORD)
    async with running(sink):
        await deliver(sink, [sample_revision(1), sample_revision(1, revision=2)])
        assert list(await sink.deliver_events([event()])) == [None]
        assert [check for check in await sink.probe() if not check.ok] == []
    assert least.count(ALERTS) == least.count(EVENTS) == 1


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ("cluster_permissions", "indices:data/write/bulk"),
        ("cluster_permissions", "indices:admin/index_template/get"),
        ("cluster_permissions", "indices:admin/index_template/put"),
        ("allowed_actions", "indices:data/write/bulk*"),
        ("allowed_actions", "indices:data/write/index"),
        ("allowed_actions", "indices:admin/create"),
    ],
)
async def test_less_than_that_role_holds_alerts_and_says_so(
    part: str, missing: str, least: OpenSearch, tmp_path: Path
) -> None:
    role = documented_role()
    (role if part == "cluster_permissions" else role["index_permissions"][0])[part].remove(missing)
    least.request("PUT", "/_plugins/_security/api/roles/least", role)
    async with running(sink_for(least, tmp_path, username="least", password=PASSWORD), start=False) as sink:
        refusal = await refused(sink)
    assert type(refusal) is TransientError
    assert "role" in str(refusal)


# --- doctor -----------------------------------------------------------------------------------------------------------
async def problems(server: OpenSearch, folder: Path, **more: Any) -> list[str]:
    sink = sink_for(server, folder, **more)
    try:
        checks = await sink.probe()
    finally:
        await sink.stop()
    assert all(check.remedy for check in checks if check.problem)
    return [check.problem for check in checks if check.problem]


async def test_a_probe_leaves_no_trace(server: OpenSearch, tmp_path: Path) -> None:
    assert await problems(server, tmp_path) == []
    templates = server.request("GET", "/_index_template")["index_templates"]
    assert [found["name"] for found in templates if found["name"].startswith("vedette")] == []
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(1)])
    before = server.request("GET", f"/{ALERTS}/_stats/indexing,docs")["indices"]
    assert await problems(server, tmp_path) == []
    after = server.request("GET", f"/{ALERTS}/_stats/indexing,docs")["indices"]
    assert [found["primaries"]["docs"] for found in after.values()] == [
        found["primaries"]["docs"] for found in before.values()
    ]
    assert server.count(ALERTS) == 1


async def test_a_probe_names_what_is_wrong(server: OpenSearch, tmp_path: Path) -> None:
    async with running(sink_for(server, tmp_path)) as sink:
        await deliver(sink, [sample_revision(1)])
    server.request("PUT", f"/{ALERTS}/_settings", {"index.blocks.read_only_allow_delete": True})
    found = await problems(server, tmp_path)
    assert "read_only_allow_delete" in found[0]
    server.request("PUT", f"/{ALERTS}/_settings", {"index.blocks.read_only_allow_delete": None})
    wrong = server.url.replace("https:", "http:") if server.secured else server.url.replace("http:", "https:")
    (found_there,) = await problems(server, tmp_path, url=wrong, ca_file=None)
    assert wrong in found_there


async def test_a_probe_tells_a_wrong_password_and_a_stranger(opensearch_secured: OpenSearch, tmp_path: Path) -> None:
    assert len(await problems(opensearch_secured, tmp_path, password="wrong")) == 1
    (found,) = await problems(opensearch_secured, tmp_path, ca_file=None)
    assert "not trusted" in found
