"""The sink and a real Request Tracker 5: contract, hostile strings, lost answers, a server that stands still."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sinks.rt import RtSettings, RtSink
from sinks.rt.text import AlertText, new_mark, reference_of
from vedette.runtime.notes import MemoryNotes
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import TransientError
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo
from vedette.schema.verdict import Judgement
from vedette.testing.sinks import CONTRACT, StandingClock, sample_revision

from .fault_proxy import FaultProxy, apply_then, on, passing, reset
from .rt_bench import HurryingClock, RtBench, marks_of
from .test_rt import ROWS, judged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.servers.request_tracker import RequestTracker, Ticket
    from vedette.runtime.notes import Notes
    from vedette.schema.alert import AlertRevision
    from vedette.testing.sinks import SinkBench

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
CLOCK = HurryingClock()


@pytest.fixture
def notes() -> MemoryNotes:
    return MemoryNotes()


def settings_of(tracker: RequestTracker, **more: Any) -> RtSettings:
    account = {"username": tracker.user, "password": tracker.password}
    own = {"url": tracker.url, "queue": tracker.queue, "reference_field": tracker.field, **account}
    return RtSettings.model_validate({**own, **more})


async def deliver(tracker: RequestTracker, notes: Notes, *revisions: AlertRevision, **more: Any) -> list[Any]:
    sink = RtSink("rt", settings_of(tracker, **more), SinkContext(Path(), CLOCK, notes))
    await sink.start()
    try:
        return list(await sink.deliver(revisions))
    finally:
        await sink.stop()


def keyed(number: int, key: str = "k", **more: Any) -> AlertRevision:
    return sample_revision(number, **more)._replace(ticket_key=key)


def contents(ticket: Ticket) -> list[str]:
    return [entry.content for entry in ticket.history if entry.type in {"Create", "Comment"}]


def told(ticket: Ticket) -> list[tuple[int, int]]:
    return sorted((int(mark.alert_id, 16), mark.version) for mark in marks_of(contents(ticket)))


@pytest.mark.parametrize("check", CONTRACT.values(), ids=CONTRACT)
async def test_contract(
    check: Callable[[SinkBench], Awaitable[None]], request_tracker: RequestTracker, tmp_path: Path
) -> None:
    settings = settings_of(request_tracker)
    await check(RtBench(tmp_path, settings, lambda: [contents(ticket) for ticket in request_tracker.tickets()]))


async def test_tickets_stay_intact_whatever_attackers_write(request_tracker: RequestTracker) -> None:
    revisions = [
        sample_revision(
            number,
            facts=Facts(actor=text, name=text, command=text, namespace=text, images=(text,)),
            rule=RuleInfo(f"falco:{text[:100]}", text, Level.LOW),
        )
        for number, text in enumerate(ROWS.values(), start=1)
    ]
    later = [revision._replace(revision=2) for revision in revisions]
    assert await deliver(request_tracker, MemoryNotes(), *revisions, *later) == [None] * 2 * len(revisions)

    tickets = {ticket.reference: ticket for ticket in request_tracker.tickets()}
    assert len(tickets) == len(revisions)
    for revision in revisions:
        ticket = tickets[reference_of(revision).whole]
        words = AlertText(revision)
        first, second = marks_of(contents(ticket))
        assert ticket.subject == f"{words.title} {reference_of(revision).tag}"
        assert contents(ticket) == [words.whole(first), words.update(second)]
        assert (ticket.status, second.version) == ("new", 2)


async def test_alerts_with_one_key_share_a_ticket_that_people_close_and_merge(
    request_tracker: RequestTracker, notes: MemoryNotes
) -> None:
    await deliver(request_tracker, notes, keyed(1), keyed(2), keyed(3, "other"), concurrency=1)
    request_tracker.request("PUT", "/ticket/1", {"Status": "resolved"})
    await deliver(request_tracker, notes, keyed(1, revision=2))
    assert request_tracker.tickets()[0].status == "resolved"
    await deliver(request_tracker, notes, keyed(4))
    assert request_tracker.tickets()[0].status == "open"
    request_tracker.request("PUT", "/ticket/1", {"MergeInto": 2})
    assert await deliver(request_tracker, notes, keyed(1, revision=3), keyed(3, "other", revision=3)) == [None, None]
    (ticket,) = request_tracker.tickets()
    assert told(ticket) == [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 3), (4, 1)]


async def test_a_verdict_is_told_and_followed(request_tracker: RequestTracker, notes: MemoryNotes) -> None:
    statuses = {"false_positive": "rejected", "benign": "no-such-status"}
    await deliver(request_tracker, notes, keyed(1))
    for _ in range(2):
        wrong = judged(1, Judgement.FALSE_POSITIVE)
        assert await deliver(request_tracker, notes, wrong, on_verdict=statuses) == [None]
    (ticket,) = request_tracker.tickets()
    assert (ticket.status, told(ticket)) == ("rejected", [(1, 1), (1, 2)])
    assert "verdict         false positive" in contents(ticket)[1]
    request_tracker.request("PUT", "/ticket/1", {"Status": "open"})
    await deliver(request_tracker, notes, judged(1, revision=3, at_s=90), on_verdict=statuses)
    (ticket,) = request_tracker.tickets()
    assert (ticket.status, told(ticket)) == ("open", [(1, 1), (1, 2), (1, 3)]), "there is no such status"


@pytest.mark.parametrize("status", ["deleted", "moved"])
async def test_a_ticket_that_was_taken_away_is_followed_by_a_new_one(
    request_tracker: RequestTracker, notes: MemoryNotes, status: str
) -> None:
    await deliver(request_tracker, notes, keyed(1), keyed(2, "other"), concurrency=1)
    change = {"Status": "deleted"} if status == "deleted" else {"Queue": "General"}
    request_tracker.request("PUT", "/ticket/1", change)
    assert await deliver(request_tracker, notes, keyed(1, revision=2)) == [None]
    ticket = request_tracker.tickets()[-1]
    assert (ticket.id, told(ticket)) == (3, [(1, 2)])
    assert "goes on from ticket 1," in contents(ticket)[0]


@pytest.mark.parametrize("field", ["", "No-Such-Field"], ids=["by field", "by subject"])
async def test_without_notes_the_ticket_and_what_it_tells_are_found(
    request_tracker: RequestTracker, field: str
) -> None:
    more = {"reference_field": field} if field else {}
    await deliver(request_tracker, MemoryNotes(), keyed(1), keyed(2), keyed(1, revision=2), **more)
    again = [keyed(1, revision=2), keyed(2, revision=1), keyed(1, revision=3)]
    assert await deliver(request_tracker, MemoryNotes(), *again, **more) == [None] * 3
    (ticket,) = request_tracker.tickets()
    assert told(ticket) == [(1, 1), (1, 2), (1, 3), (2, 1)]


async def test_answers_that_are_lost_leave_one_ticket_and_one_comment(
    request_tracker: RequestTracker, notes: MemoryNotes
) -> None:
    async with FaultProxy(request_tracker.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        for number in (1, 2):
            await proxy.switch(on(b"POST ", apply_then(reset)))
            (outcome,) = await deliver(request_tracker, notes, keyed(1, revision=number), url=url)
            assert isinstance(outcome, TransientError)
            await proxy.switch(passing)
            assert await deliver(request_tracker, notes, keyed(1, revision=number), url=url) == [None]
    (ticket,) = request_tracker.tickets()
    assert told(ticket) == [(1, 1), (1, 2)]


@pytest.mark.parametrize("revision", [1, 2], ids=["create", "comment"])
async def test_a_server_that_stood_still_leaves_one_ticket_and_one_comment(
    request_tracker: RequestTracker, notes: MemoryNotes, revision: int
) -> None:
    """It carries out, when it goes on, what the sink gave up waiting for."""
    for number in range(1, revision):
        await deliver(request_tracker, notes, keyed(1, revision=number))
    sink = RtSink("rt", settings_of(request_tracker, timeout_s=2), SinkContext(Path(), StandingClock(), notes))
    await sink.start()
    tracker = sink._desk._tracker if sink._desk else None
    assert tracker is not None
    name = "create" if revision == 1 else "comment"
    write = getattr(tracker, name)

    async def freeze(*arguments: Any) -> Any:
        request_tracker.pause()
        return await write(*arguments)

    setattr(tracker, name, freeze)
    (outcome,) = await sink.deliver([keyed(1, revision=revision)])
    assert isinstance(outcome, TransientError)
    setattr(tracker, name, write)
    request_tracker.resume()
    assert await sink.deliver([keyed(1, revision=revision)]) == [None]
    await sink.stop()
    (ticket,) = request_tracker.tickets()
    assert told(ticket) == [(1, number) for number in range(1, revision + 1)]


async def test_tickets_born_twice_are_merged(request_tracker: RequestTracker, notes: MemoryNotes) -> None:
    await deliver(request_tracker, MemoryNotes(), keyed(1))
    revision = keyed(1, revision=2)
    own = {
        "Queue": request_tracker.queue,
        "Subject": f"again {reference_of(revision).tag}",
        "ContentType": "text/plain",
    }
    fields = {"CustomFields": {request_tracker.field: reference_of(revision).whole}}
    for content in (AlertText(revision).whole(new_mark(revision)), "a copy that a person made"):
        request_tracker.request("POST", "/ticket", {**own, **fields, "Content": content})
    assert await deliver(request_tracker, notes, keyed(1, revision=3)) == [None]
    first, copied = request_tracker.tickets()
    assert (first.id, told(first)) == (1, [(1, 1), (1, 2), (1, 3)])
    assert copied.id == 3


async def test_a_probe_of_a_tracker_that_is_well_set_up_finds_nothing(
    request_tracker: RequestTracker, notes: MemoryNotes
) -> None:
    for _ in range(2):
        sink = RtSink("rt", settings_of(request_tracker), SinkContext(Path()))
        assert [check.problem for check in await sink.probe() if not check.ok] == []
        await deliver(request_tracker, notes, keyed(1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"password": "wrong"}, "refused to log in vedette (401)", id="wrong password"),
        pytest.param({"queue": "General"}, "Grant the right SeeQueue", id="queue without rights"),
        pytest.param({"queue": "Nowhere"}, "or the queue does not exist", id="no such queue"),
        pytest.param({"reference_field": "Nothing"}, "there is none", id="no such field"),
    ],
)
async def test_a_probe_says_what_is_wrong(request_tracker: RequestTracker, changes: dict[str, str], said: str) -> None:
    checks = await RtSink("rt", settings_of(request_tracker, **changes), SinkContext(Path())).probe()
    (problem,) = [check for check in checks if not check.ok]
    assert said in f"{problem.problem}. {problem.remedy}"
    assert problem.remedy


async def test_a_token_logs_in(request_tracker: RequestTracker, notes: MemoryNotes) -> None:
    perl = (
        "use RT -init; my $user = RT::User->new(RT->SystemUser); $user->Load($ARGV[0]);"
        "my $token = RT::AuthToken->new(RT->SystemUser);"
        'my (undef, undef, $text) = $token->Create(Owner => $user->Id, Description => "tests"); print $text'
    )
    command = ["perl", "-I/usr/share/request-tracker5/lib", "-e", perl, request_tracker.user]
    made = await asyncio.create_subprocess_exec(
        *command, env={"PATH": "/usr/bin", **request_tracker.environment()}, stdout=asyncio.subprocess.PIPE
    )
    token = (await made.communicate())[0].decode()
    more = {"username": None, "password": None, "token": token}
    assert await deliver(request_tracker, notes, keyed(1), **more) == [None]
    with pytest.raises(TransientError, match="refused to log in the token's owner"):
        await deliver(request_tracker, notes, keyed(1), **{**more, "token": f"{token[:-4]}0000"})


async def test_many_tickets_at_a_time_are_one_each(request_tracker: RequestTracker, notes: MemoryNotes) -> None:
    revisions = [sample_revision(number) for number in range(1, 41)]
    waiting = {revision.alert_id: revision for revision in revisions}
    async with asyncio.timeout(200):
        while waiting:
            batch = list(waiting.values())
            outcomes = await deliver(request_tracker, notes, *batch, concurrency=8, timeout_s=3)
            for revision, outcome in zip(batch, outcomes, strict=True):
                if outcome is None:
                    del waiting[revision.alert_id]
    assert sorted(told(ticket) for ticket in request_tracker.tickets()) == [[(number, 1)] for number in range(1, 41)]
