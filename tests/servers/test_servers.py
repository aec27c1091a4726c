"""The real servers are what their handles say: they answer, keep their data, refuse strangers, and can be misused."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme
from prometheus_client import CollectorRegistry, Gauge, generate_latest, start_http_server

from .process import Host, Server, ServerError
from .prometheus import promtool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .fixtures import StartPrometheus
    from .opensearch import OpenSearch
    from .request_tracker import RequestTracker

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
HOSTILE = '\'; DROP TABLE "x" -- <script>\n{{7*7}} \\ é \u202e'


def until(condition: Callable[[], object]) -> None:
    """Wait; the test's timeout bounds it."""
    while not condition():
        time.sleep(0.05)


def write(server: OpenSearch, index: str, **document: str) -> httpx.Response:
    """As a user of the server writes, without its handle."""
    auth = (server.user, server.password) if server.user else None
    verify = ssl.create_default_context(cafile=server.ca) if server.ca else True
    with httpx.Client(auth=auth, verify=verify, trust_env=False, timeout=60) as client:
        return client.post(f"{server.url}/{index}/_doc", json=document)


# --- all of them ----------------------------------------------------------------------------------------------------
OWNER = """
import sys
from pathlib import Path
from tests.servers.process import Host
from tests.servers.prometheus import Prometheus
host = Host(Path(sys.argv[1]))
server = Prometheus(host, {}, {})
server.start()
print(server.port, host.root, flush=True)
sys.stdin.read()
"""


def test_servers_and_their_data_go_when_the_tests_are_killed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        port, folder = owner.stdout.readline().split()
        assert httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).is_success
        owner.kill()
    until(lambda: not Path(folder).exists())
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False)
    assert list(tmp_path.glob("prometheus-*.log"))


class Broken(Server):
    """Says why it cannot run, and ends."""

    def command(self) -> list[str]:
        return ["sh", "-c", "echo no such luck; exit 3"]

    def ready(self) -> bool:
        return False

    def close(self) -> None:
        pass


def test_a_server_that_does_not_start_says_what_it_said(servers_host: Host) -> None:
    with pytest.raises(ServerError, match=r"broken ended with status 3 at its start(.|\n)*no such luck"):
        Broken(servers_host, "broken").start()


@pytest.mark.parametrize("misuse", ["stop", "kill", "pause"])
def test_the_next_test_finds_a_server_running(prometheus: StartPrometheus, misuse: str) -> None:
    server = prometheus({})
    getattr(server, misuse)()
    server.ensure()
    assert [series.value for series in server.query("vector(7)")] == [7]


# --- OpenSearch -----------------------------------------------------------------------------------------------------
def test_what_is_written_is_counted_found_and_cleared(opensearch: OpenSearch) -> None:
    assert opensearch.count("vedette-none") == 0
    assert opensearch.search("vedette-none") == []
    opensearch.request("PUT", "/_index_template/vedette", {"index_patterns": ["vedette-stream*"], "data_stream": {}})
    assert write(opensearch, "vedette-alerts", text=HOSTILE).status_code == 201
    assert write(opensearch, "vedette-stream", **{"@timestamp": "2026-11-20T10:00:00Z"}).status_code == 201

    assert opensearch.count("vedette-*") == 2
    assert [hit["_source"] for hit in opensearch.search("vedette-alerts")] == [{"text": HOSTILE}]
    opensearch.clear()
    assert opensearch.count("vedette-*") == 0
    assert opensearch.request("GET", "/_index_template")["index_templates"] == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_keeps_documents_port_and_users(opensearch: OpenSearch, end: str) -> None:
    write(opensearch, "vedette-alerts", text=HOSTILE).raise_for_status()
    getattr(opensearch, end)()
    with pytest.raises(httpx.ConnectError):
        write(opensearch, "vedette-alerts", text="lost")
    opensearch.start()
    write(opensearch, "vedette-alerts", text="second").raise_for_status()
    assert {hit["_source"]["text"] for hit in opensearch.search("vedette-alerts")} == {HOSTILE, "second"}


def test_a_paused_server_takes_connections_and_answers_when_resumed(opensearch_3: OpenSearch) -> None:
    opensearch_3.pause()
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(opensearch_3.url, timeout=0.3, trust_env=False)
    opensearch_3.resume()
    assert httpx.get(opensearch_3.url, trust_env=False).json()["version"]["number"] == "3.8.0"


@pytest.mark.parametrize(
    ("path", "auth", "status"),
    [
        pytest.param("/", None, 401, id="nobody"),
        pytest.param("/", ("vedette", "wrong"), 401, id="wrong password"),
        pytest.param("/", ("strang\u00e9r", "x:y"), 401, id="unknown user"),
        pytest.param("/other/_search", "user", 403, id="index that the user has no right to"),
        pytest.param("/vedette-none/_search?ignore_unavailable=true", "user", 200, id="user"),
    ],
)
def test_the_secured_server_tells_users_apart(
    opensearch_secured: OpenSearch, path: str, auth: tuple[str, str] | str | None, status: int
) -> None:
    who = (opensearch_secured.user, opensearch_secured.password) if isinstance(auth, str) else auth
    with httpx.Client(
        verify=ssl.create_default_context(cafile=opensearch_secured.ca), auth=who, trust_env=False
    ) as client:
        assert client.get(f"{opensearch_secured.url}{path}").status_code == status


def test_only_its_own_authority_vouches_for_the_secured_server(opensearch_secured: OpenSearch) -> None:
    stranger = ssl.create_default_context()
    trustme.CA().configure_trust(stranger)
    for context in (stranger, ssl.create_default_context()):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(opensearch_secured.url, verify=context, trust_env=False)


# --- Request Tracker ------------------------------------------------------------------------------------------------
@pytest.fixture
def rest(request_tracker: RequestTracker) -> Iterator[httpx.Client]:
    """REST 2 as the user who owns nothing but the queue."""
    auth = (request_tracker.user, request_tracker.password)
    with httpx.Client(base_url=f"{request_tracker.url}/REST/2.0", auth=auth, trust_env=False, timeout=60) as client:
        yield client


def create(rest: httpx.Client, tracker: RequestTracker, reference: str, subject: str = "Shell in cart") -> int:
    body = {"Queue": tracker.queue, "Subject": subject, "Content": HOSTILE, "ContentType": "text/plain"}
    answer = rest.post("/ticket", json={**body, "CustomFields": {tracker.field: reference}})
    answer.raise_for_status()
    return int(answer.json()["id"])


def found(rest: httpx.Client, tracker: RequestTracker, reference: str) -> list[int]:
    escaped = reference.replace("\\", "\\\\").replace("'", "\\'")
    answer = rest.get("/tickets", params={"query": f"'CF.{{{tracker.field}}}' = '{escaped}'"})
    answer.raise_for_status()
    return [int(item["id"]) for item in answer.json()["items"]]


def comment(rest: httpx.Client, ticket: int, text: str) -> None:
    rest.post(f"/ticket/{ticket}/comment", json={"Content": text, "ContentType": "text/plain"}).raise_for_status()


def test_a_ticket_is_found_by_its_reference_at_once(rest: httpx.Client, request_tracker: RequestTracker) -> None:
    hostile = "it's \\' OR id > 0 }{ \" é"
    for number, reference in enumerate(["a-1", "a-2", hostile], start=1):
        assert create(rest, request_tracker, reference) == number
        assert found(rest, request_tracker, reference) == [number]
    comment(rest, 3, HOSTILE)
    ticket = request_tracker.tickets()[2]
    assert (ticket.id, ticket.subject, ticket.status, ticket.reference) == (3, "Shell in cart", "new", hostile)
    assert ticket.comments == [HOSTILE]
    assert [(entry.type, entry.creator) for entry in ticket.history] == [("Create", "vedette"), ("Comment", "vedette")]


def test_two_tickets_are_merged(rest: httpx.Client, request_tracker: RequestTracker) -> None:
    kept, other = create(rest, request_tracker, "a-1"), create(rest, request_tracker, "a-1")
    comment(rest, other, "before")
    sentences = [rest.put(f"/ticket/{ticket}", json={"MergeInto": kept}).json() for ticket in (other, other, kept)]
    assert sentences == [
        ["Merge Successful"],
        ["Can't merge a ticket into itself"],
        ["Can't merge a ticket into itself"],
    ]
    comment(rest, other, "after")

    assert rest.get(f"/ticket/{other}").json()["id"] == kept
    assert found(rest, request_tracker, "a-1") == [kept]
    (ticket,) = request_tracker.tickets()
    assert (ticket.id, ticket.comments) == (kept, ["before", "after"])


def test_a_create_that_timed_out_may_still_be_done(rest: httpx.Client, request_tracker: RequestTracker) -> None:
    request_tracker.pause()
    rest.timeout = 0.3
    with pytest.raises(httpx.ReadTimeout):
        create(rest, request_tracker, "a-1")
    rest.timeout = 60
    request_tracker.resume()
    until(lambda: found(rest, request_tracker, "a-1") == [1])


def test_what_a_test_left_undone_is_not_done_in_the_next(rest: httpx.Client, request_tracker: RequestTracker) -> None:
    request_tracker.pause()
    rest.timeout = 0.3
    for number in range(3):
        with pytest.raises(httpx.ReadTimeout):
            create(rest, request_tracker, f"a-{number}")
    request_tracker.ensure()
    assert len(request_tracker.tickets()) == 3
    request_tracker.reset()
    assert request_tracker.tickets() == []


@pytest.mark.parametrize(
    ("ticket", "change", "status", "said"),
    [
        pytest.param(1, {"MergeInto": 99}, 200, "New ticket doesn't exist", id="merge into nothing"),
        pytest.param(1, {"MergeInto": 2}, 200, "Only tickets can be merged", id="merge into a ticket of others"),
        pytest.param(1, {"Status": "no such"}, 200, "isn't a valid status", id="status that does not exist"),
        pytest.param(99, {"MergeInto": 1}, 404, "does not exist", id="ticket that does not exist"),
    ],
)
def test_what_the_tracker_refuses_it_often_answers_with_200(
    rest: httpx.Client,
    request_tracker: RequestTracker,
    ticket: int,
    change: dict[str, object],
    status: int,
    said: str,
) -> None:
    create(rest, request_tracker, "a-1")
    request_tracker.request("POST", "/ticket", {"Queue": "General", "Subject": "not ours"})
    answer = rest.put(f"/ticket/{ticket}", json=change)
    assert answer.status_code == status
    assert said in answer.text
    assert [found.subject for found in request_tracker.tickets()] == ["Shell in cart", "not ours"]


def test_an_unknown_custom_field_is_dropped_in_silence(rest: httpx.Client, request_tracker: RequestTracker) -> None:
    body = {"Queue": request_tracker.queue, "Subject": "x", "CustomFields": {"No-Such": "a-1"}}
    assert rest.post("/ticket", json=body).status_code == 201
    assert rest.get("/tickets", params={"query": "'CF.{No-Such}' = 'a-1'"}).json()["items"] == []


def test_the_tracker_refuses_a_wrong_password(request_tracker: RequestTracker) -> None:
    auth = (request_tracker.user, "wrong")
    assert httpx.get(f"{request_tracker.url}/REST/2.0/rt", auth=auth, trust_env=False).status_code == 401


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restarted_tracker_keeps_its_tickets(rest: httpx.Client, request_tracker: RequestTracker, end: str) -> None:
    create(rest, request_tracker, "a-1")
    getattr(request_tracker, end)()
    with pytest.raises(httpx.ConnectError):
        found(rest, request_tracker, "a-1")
    request_tracker.start()
    assert found(rest, request_tracker, "a-1") == [1]
    request_tracker.reset()
    assert request_tracker.tickets() == []
    assert create(rest, request_tracker, "a-2") == 1


# --- Prometheus -----------------------------------------------------------------------------------------------------
@pytest.fixture
def endpoint() -> Iterator[tuple[Gauge, str]]:
    """A gauge, and where it can be scraped."""
    registry = CollectorRegistry()
    gauge = Gauge("vedette_test_depth", "Test", ["name"], registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield gauge, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_prometheus_scrapes_and_answers(prometheus: StartPrometheus, endpoint: tuple[Gauge, str]) -> None:
    gauge, address = endpoint
    gauge.labels(HOSTILE).set(42)
    server = prometheus({"vedette": [address]})
    until(lambda: server.query("vedette_test_depth"))
    (series,) = server.query("vedette_test_depth + 1")
    assert series.value == 43
    assert series.labels == {"name": HOSTILE, "job": "vedette", "instance": address}
    assert [target["health"] for target in server.targets()] == ["up"]


def test_promtool_judges_a_metrics_page() -> None:
    registry = CollectorRegistry()
    Gauge("vedette_test_depth", "Test", registry=registry)
    page = generate_latest(registry).decode()
    assert promtool("check", "metrics", text=page).returncode == 0
    assert "no help text" in promtool("check", "metrics", text="x 1\n").stderr
