"""Tickets for alerts, at a tracker that is as good as its stub: what is written, what is asked, what goes wrong."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from pydantic import ValidationError

from sinks.rt import RtSettings, RtSink
from sinks.rt.text import AlertText, new_mark, read_mark, reference_of
from vedette.pipeline.verdicts import revise_closed
from vedette.runtime.notes import MemoryNotes
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.rule import RuleInfo
from vedette.schema.verdict import Judgement, make_verdict
from vedette.testing.sinks import HOSTILE, StandingClock, sample_revision

from .fault_proxy import Behaviour, FaultProxy, apply_then, drip, flood, passing, reset
from .rt_bench import HurryingClock, contents_of, marks_of, settings_for
from .rt_stub import Fault, Request, RtStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from vedette.runtime.check import Check
    from vedette.runtime.clock import Clock
    from vedette.runtime.notes import Notes
    from vedette.schema.alert import AlertRevision

CLOCK = HurryingClock()
ACCOUNT = {"username": "vedette", "password": "x"}


@pytest.fixture
async def stub() -> AsyncIterator[RtStub]:
    async with RtStub() as stub:
        yield stub


@pytest.fixture
def notes() -> MemoryNotes:
    return MemoryNotes()


def make(stub: RtStub, notes: Notes | None = None, clock: Clock | None = None, **settings: Any) -> RtSink:
    context = SinkContext(Path(), clock or CLOCK, notes or MemoryNotes())
    return RtSink("rt", settings_for(stub, **settings), context)


async def deliver(sink: RtSink, *revisions: AlertRevision) -> list[Any]:
    await sink.start()
    try:
        return list(await sink.deliver(revisions))
    finally:
        await sink.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - the stub has no events
        await asyncio.sleep(0)


def keyed(number: int, key: str = "k", **more: Any) -> AlertRevision:
    return sample_revision(number, **more)._replace(ticket_key=key)


def versions(stub: RtStub) -> dict[int, list[tuple[int, int]]]:
    """What each open ticket tells: numbers of alerts and their revisions."""
    return {
        ticket.id: [(int(mark.alert_id, 16), mark.version) for mark in marks_of(contents_of(ticket))]
        for ticket in stub.open_tickets()
    }


# --- what is written --------------------------------------------------------------------------------------------------
TICKET = """\
MARK

what            Shell In A Pod: mara did get on pods/exec shop/web-1 in cluster test, 2 times within 1 s
level           high
count           2
first seen      2026-03-27 12:00:01 UTC
last seen       2026-03-27 12:00:01 UTC
cluster         test
actor           mara
action          get
resource        pods/exec
namespace       shop
name            web-1
rule            Shell In A Pod (5f1c0000-0000-4000-8000-000000000001)
ATT&CK          T1609

Why the rule matched:
  selection.verb: verb equals "get"  (it is 'get')

Sample events:
  2026-03-27 12:00:01 UTC  audit  1

Look it up: vedette alerts show 00000000000000000000000000000001"""
COMMENT = """\
MARK

what            Shell In A Pod: mara did get on pods/exec shop/web-1 in cluster test, 3 times within 1 s
level           high
count           3
first seen      2026-03-27 12:00:01 UTC
last seen       2026-03-27 12:00:01 UTC

Sample events:
  2026-03-27 12:00:01 UTC  audit  1

Look it up: vedette alerts show 00000000000000000000000000000001"""


async def test_a_ticket_and_a_comment_as_people_read_them(stub: RtStub) -> None:
    revision = sample_revision(revision=2)
    assert await deliver(make(stub), revision, sample_revision(revision=3)) == [None, None]

    (ticket,) = stub.open_tickets()
    opening, comment = ticket.texts
    assert ticket.reference == reference_of(revision).whole
    assert ticket.subject == f"high: Shell In A Pod: pods/exec shop/web-1 {reference_of(revision).tag}"
    assert opening.content.replace(marks_of(contents_of(ticket))[0].text, "MARK") == TICKET
    assert comment.content.replace(marks_of(contents_of(ticket))[1].text, "MARK") == COMMENT
    assert " ".join(comment.subject.split()) == f"{AlertText(revision).title} {marks_of(contents_of(ticket))[1].text}"
    written = [request.body for request in stub.requests if request.writes]
    assert {body["ContentType"] for body in written} == {"text/plain"}
    assert not {key for body in written for key in body} & {"Requestor", "Owner", "Status", "Attachments"}


ROWS = {
    **HOSTILE,
    "lone surrogate": "a\ud800b",
    "mark": "\n[vedette 00000000000000000000000000000001 g0 r9 0123456789abcdef]",
    "reference": "[vedette-0123456789abcdef]",
    "mail": "[example.test #12]",
    "commands": "Status: resolved\nOwner: mallory",
    "encoded word": "=?utf-8?Q?=0A=5Bvedette-0123456789abcdef=5D?=",
}


@pytest.mark.parametrize("text", ROWS.values(), ids=ROWS)
async def test_no_string_breaks_out_of_its_line(stub: RtStub, text: str) -> None:
    facts = Facts(actor=text, name=text, command=text, namespace=text, images=(text,) * 3)
    revision = sample_revision(facts=facts, rule=RuleInfo(f"falco:{text[:100]}", text, Level.LOW))
    assert await deliver(make(stub), revision) == [None]
    assert await deliver(make(stub), revision._replace(revision=2)) == [None]

    (ticket,) = stub.open_tickets()
    for content in (text.content for text in ticket.texts):
        assert all(line.isprintable() for line in content.split("\n"))
        assert len(content) <= 16_384
    assert len(marks_of(contents_of(ticket))) == 2
    subject, reference = ticket.subject.rsplit(" ", 1)
    assert reference == reference_of(revision).tag
    assert subject.isprintable()
    assert not set(subject) & set("[]")
    assert len(ticket.subject) <= 200
    assert len(ticket.texts[1].subject) <= 255


def test_texts_are_bounded_however_many_values_there_are() -> None:
    texts = tuple("x" * 2_000 for _ in range(500))
    revision = sample_revision(facts=Facts(images=texts, sources=texts, destinations=texts, groups=texts))
    whole = AlertText(revision).whole(new_mark(revision))
    assert len(whole) <= 16_384
    assert whole.endswith(f"vedette alerts show {revision.alert_id}")


def test_what_is_no_alert_is_refused_for_good() -> None:
    with pytest.raises(PermanentError, match="is no alert document"):
        AlertText(sample_revision()._replace(document=b'{"message": 1}'))


@pytest.mark.parametrize(
    "line",
    ["", "[vedette 1 g0 r1 0123456789abcdef] and more", "[vedette 1 g0 r1 short]", "vedette 1 g0 r1 0123456789abcdef"],
)
def test_only_whole_marks_at_the_end_count(line: str) -> None:
    assert read_mark(line) is None


def test_a_mark_survives_the_folding_of_mail_headers_and_is_never_made_twice() -> None:
    revision = sample_revision(generation=2, revision=7)
    mark = new_mark(revision)
    assert read_mark(f"a subject\n {mark.text}") == mark
    assert (mark.alert_id, mark.version) == (revision.alert_id, revision.version)
    assert new_mark(revision) != mark


# --- which ticket -----------------------------------------------------------------------------------------------------
async def test_alerts_with_one_key_share_a_ticket_and_others_do_not(stub: RtStub) -> None:
    revisions = [keyed(1), keyed(2), keyed(1, revision=2), keyed(3, "other"), keyed(2, revision=5), sample_revision(4)]
    assert await deliver(make(stub), *revisions) == [None] * 6
    assert sorted(versions(stub).values()) == [[(1, 1), (2, 1), (1, 2), (2, 5)], [(3, 1)], [(4, 1)]]


async def test_an_older_revision_says_nothing_new(stub: RtStub, notes: MemoryNotes) -> None:
    assert await deliver(make(stub, notes), keyed(1, revision=3), keyed(1, revision=2)) == [None, None]
    asked = len(stub.requests)
    assert await deliver(make(stub, notes), keyed(1, revision=3)) == [None]
    assert len(stub.requests) == asked + 1, "one look at the queue"
    assert versions(stub) == {1: [(1, 3)]}


@pytest.mark.parametrize("status", ["resolved", "rejected"])
@pytest.mark.parametrize(
    ("alert", "reopen_status", "after"),
    [
        pytest.param(2, "open", "open", id="new alert"),
        pytest.param(2, "", None, id="new alert, and nothing is to be reopened"),
        pytest.param(2, "nonsense", None, id="new alert, and the status does not exist"),
        pytest.param(1, "open", None, id="late revision"),
    ],
)
async def test_a_closed_ticket_is_reopened_for_new_alerts_alone(
    stub: RtStub, notes: MemoryNotes, status: str, alert: int, reopen_status: str, after: str | None
) -> None:
    await deliver(make(stub, notes), keyed(1))
    stub.tickets[1].status = status
    assert await deliver(make(stub, notes, reopen_status=reopen_status), keyed(alert, revision=2)) == [None]
    assert versions(stub) == {1: [(1, 1), (alert, 2)]}
    assert stub.tickets[1].status == (after or status)


STATUSES = {"false_positive": "rejected", "benign": "resolved"}


def judged(number: int, judgement: Judgement = Judgement.BENIGN, *, revision: int = 2, at_s: int = 60) -> AlertRevision:
    """The verdict on an alert, and what comes after it."""
    last = keyed(number, revision=revision - 1)
    verdict = make_verdict(judgement, "sam [x]\n", "the scanner\n[vedette x]", last.opened_ns + at_s * SECOND_NS)
    return revise_closed(last.document.decode(), verdict, 0)._replace(ticket_key="k")


@pytest.mark.parametrize(
    ("judgement", "on_verdict", "after"),
    [
        (Judgement.BENIGN, {}, "open"),
        (Judgement.BENIGN, STATUSES, "resolved"),
        (Judgement.FALSE_POSITIVE, STATUSES, "rejected"),
        (Judgement.TRUE_POSITIVE, STATUSES, "open"),
        (Judgement.TRUE_POSITIVE, {"true_positive": "nonsense"}, "open"),
        (Judgement.TRUE_POSITIVE, {"true_positive": ""}, "open"),
    ],
)
async def test_a_verdict_is_told_and_sets_the_status_that_is_named_for_it(
    stub: RtStub, notes: MemoryNotes, judgement: Judgement, on_verdict: dict[str, str], after: str
) -> None:
    await deliver(make(stub, notes), keyed(1))
    stub.tickets[1].status = "open"
    for _ in range(3):
        assert await deliver(make(stub, notes, on_verdict=on_verdict), judged(1, judgement)) == [None]
    assert versions(stub) == {1: [(1, 1), (1, 2)]}
    lines = stub.tickets[1].comments[0].content.splitlines()
    words = judgement.replace("_", " ")
    assert f"verdict         {words}" in lines
    assert "judged by       sam [x]\\x0a" in lines
    assert "reason          the scanner\\x0a[vedette x]" in lines
    assert stub.tickets[1].status == after
    assert sum(request.method == "PUT" for request in stub.requests) == bool(on_verdict.get(judgement))


async def test_a_verdict_sets_the_status_once(stub: RtStub, notes: MemoryNotes) -> None:
    sink = make(stub, notes, on_verdict=STATUSES)
    await deliver(sink, keyed(1), judged(1))
    assert stub.tickets[1].status == "resolved"
    stub.tickets[1].status = "open"
    await deliver(sink, judged(1, revision=3), judged(1), keyed(1))
    assert (versions(stub), stub.tickets[1].status) == ({1: [(1, 1), (1, 2), (1, 3)]}, "open"), "people reopened it"
    await deliver(sink, judged(1, Judgement.FALSE_POSITIVE, revision=4, at_s=90))
    assert stub.tickets[1].status == "rejected", "another verdict"
    await deliver(sink, keyed(1, revision=5))
    assert stub.tickets[1].status == "open", "a more severe rule put the verdict aside"
    stub.tickets[1].status = "resolved"
    await deliver(sink, keyed(1, revision=6))
    assert stub.tickets[1].status == "resolved", "and people may close it again"


async def test_a_ticket_that_begins_with_a_verdict_has_its_status(stub: RtStub, notes: MemoryNotes) -> None:
    await deliver(make(stub, notes, on_verdict=STATUSES), judged(1))
    assert (versions(stub), stub.tickets[1].status) == ({1: [(1, 2)]}, "resolved")


@pytest.mark.parametrize(
    "fault", [Fault.DROP, Fault.LOSE, Fault.GARBAGE, Fault.LOGIN_PAGE], ids=lambda fault: fault.name
)
@pytest.mark.parametrize("at", ["comment", "status"])
async def test_a_verdict_that_broke_off_is_told_once_and_followed(
    stub: RtStub, notes: MemoryNotes, fault: Fault, at: str
) -> None:
    await deliver(make(stub, notes), keyed(1))
    faults = [fault]

    def fails(request: Request) -> Fault | None:
        hit = request.comments if at == "comment" else request.method == "PUT"
        return faults.pop() if hit and faults else None

    stub.fault = fails
    outcomes = [(await deliver(make(stub, notes, on_verdict=STATUSES), judged(1)))[0] for _ in range(2)]
    assert faults == []
    assert outcomes[-1] is None
    assert (versions(stub), stub.tickets[1].status) == ({1: [(1, 1), (1, 2)]}, "resolved")


async def test_a_stalled_ticket_stays_stalled(stub: RtStub, notes: MemoryNotes) -> None:
    await deliver(make(stub, notes), keyed(1))
    stub.tickets[1].status = "stalled"
    assert await deliver(make(stub, notes), keyed(2)) == [None]
    assert stub.tickets[1].status == "stalled"


@pytest.mark.parametrize("way", ["deleted", "gone", "moved out of sight", "moved out of reach"])
async def test_a_ticket_that_was_taken_away_is_followed_by_a_new_one(
    stub: RtStub, notes: MemoryNotes, way: str
) -> None:
    await deliver(make(stub, notes), keyed(1), keyed(2, "other"))
    ticket = next(
        ticket for ticket in stub.tickets.values() if marks_of(contents_of(ticket))[0].alert_id == f"{1:032x}"
    )
    if way == "deleted":
        ticket.status = "deleted"
    elif way == "gone":
        del stub.tickets[ticket.id]
    else:
        ticket.queue = "General" if way == "moved out of sight" else "Visible"
    before = set(stub.tickets)
    assert await deliver(make(stub, notes), keyed(1, revision=2)) == [None]
    (number,) = set(stub.tickets) - before
    assert f"goes on from ticket {ticket.id}," in stub.tickets[number].texts[0].content
    assert [mark.version for mark in marks_of(contents_of(stub.tickets[number]))] == [2]
    assert await deliver(make(stub), keyed(1, revision=3)) == [None], "without notes"
    assert [mark.version for mark in marks_of(contents_of(stub.tickets[number]))] == [2, 3]


@pytest.mark.parametrize("created_first", [True, False])
async def test_a_ticket_that_people_merged_is_followed(stub: RtStub, notes: MemoryNotes, created_first: bool) -> None:
    await deliver(make(stub, notes, concurrency=1), keyed(1), keyed(2, "other"))
    stub.merge(*((2, 1) if created_first else (1, 2)))
    assert await deliver(make(stub, notes), keyed(1, revision=2), keyed(2, "other", revision=2)) == [None, None]
    (ticket,) = stub.open_tickets()
    assert sorted(versions(stub)[ticket.id]) == [(1, 1), (1, 2), (2, 1), (2, 2)]


# --- what is found again ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("field", ["Vedette", ""], ids=["by field", "by subject"])
async def test_without_notes_the_ticket_and_what_it_tells_are_found(stub: RtStub, field: str) -> None:
    stub.field_name = field
    await deliver(make(stub), keyed(1, revision=1), keyed(2, revision=1), keyed(1, revision=2))
    again = [keyed(1, revision=2), keyed(2, revision=1), keyed(3, revision=1), keyed(1, revision=3)]
    assert await deliver(make(stub), *again) == [None] * 4
    assert versions(stub) == {1: [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3)]}


async def test_a_long_history_hides_no_mark(stub: RtStub) -> None:
    revisions = [keyed(1, revision=revision) for revision in range(1, 251)]
    await deliver(make(stub), *revisions)
    assert await deliver(make(stub), keyed(1, revision=2)) == [None]
    assert await deliver(make(stub), keyed(1, revision=250)) == [None]
    assert len(versions(stub)[1]) == 250


async def test_marks_of_others_prove_nothing(stub: RtStub, notes: MemoryNotes) -> None:
    await deliver(make(stub), keyed(1))
    mark = new_mark(keyed(2))
    stub.tickets[1].texts.append(stub.tickets[1].texts[0]._replace(creator="mallory", subject=mark.text, content="x"))
    assert await deliver(make(stub), keyed(2)) == [None]
    assert [read_mark(text.content.split("\n")[0]) is not None for text in stub.tickets[1].texts] == [True, False, True]


async def test_tickets_whose_subject_only_looks_alike_are_left_alone(stub: RtStub) -> None:
    stub.field_name = ""
    revision = keyed(1, revision=2)
    await deliver(make(stub), keyed(9, "nine"))
    stub.tickets[1].subject = f"Fwd: {reference_of(revision).tag} what is this?"
    assert await deliver(make(stub), revision) == [None]
    assert len(stub.open_tickets()) == 2


@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.DROP, Fault.GARBAGE, Fault.LOGIN_PAGE, (500, {}), (504, "<html>")])
@pytest.mark.parametrize("revisions", [1, 2], ids=["create", "comment"])
async def test_what_is_unclear_is_looked_for_before_it_is_written_again(
    stub: RtStub, notes: MemoryNotes, fault: Any, revisions: int
) -> None:
    for revision in range(1, revisions):
        await deliver(make(stub, notes), keyed(1, revision=revision))
    faults = [fault]
    stub.fault = lambda request: faults.pop() if request.writes and faults else None
    (outcome,) = await deliver(make(stub, notes), keyed(1, revision=revisions))
    assert isinstance(outcome, TransientError)
    assert await deliver(make(stub, notes), keyed(1, revision=revisions)) == [None]
    assert versions(stub) == {1: [(1, revision) for revision in range(1, revisions + 1)]}


@pytest.mark.parametrize("revision", [1, 2], ids=["create", "comment"])
async def test_it_waits_until_a_lost_request_is_over_before_it_writes_again(
    stub: RtStub, notes: MemoryNotes, revision: int
) -> None:
    clock, faults = StandingClock(), [Fault.LATE]
    for number in range(1, revision):
        await deliver(make(stub, notes, clock), keyed(1, revision=number))
    stub.fault = lambda request: faults.pop() if request.writes and faults else None
    sink = make(stub, notes, clock, timeout_s=0.5)
    await sink.start()
    await sink.deliver([keyed(1, revision=revision)])
    asked = len(stub.requests)
    call = asyncio.ensure_future(sink.deliver([keyed(1, revision=revision)]))
    await until(lambda: len(stub.requests) >= asked + 2)  # it looked for the first time, and found nothing
    stub.release()
    assert await call == [None]
    await sink.stop()
    assert versions(stub) == {1: [(1, number) for number in range(1, revision + 1)]}


async def test_tickets_born_twice_are_merged_although_nothing_more_is_delivered(
    stub: RtStub, notes: MemoryNotes, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [Fault.LATE]
    stub.fault = lambda request: faults.pop() if request.creates and faults else None
    sink = make(stub, notes, timeout_s=0.2)
    await sink.start()
    await sink.deliver([keyed(1)])
    assert await sink.deliver([keyed(1)]) == [None]
    stub.fault = lambda request: (503, {}) if request.path == "/tickets" else None
    asked = len(stub.requests)
    await until(lambda: len(stub.requests) > asked)  # the tracker fails just when it is looked at
    stub.fault = lambda _: None
    stub.release()
    assert len(stub.open_tickets()) == 2
    await until(lambda: "two tickets were created for one thing" in caplog.text)
    await sink.stop()
    assert versions(stub) == {1: [(1, 1), (1, 1)]}


async def test_a_copy_that_people_made_stays_theirs(stub: RtStub, notes: MemoryNotes) -> None:
    await deliver(make(stub, notes), keyed(1))
    copy = stub.answer(
        Request(
            "POST",
            "/ticket",
            {},
            {
                "Queue": "SOC",
                "Subject": stub.tickets[1].subject,
                "Content": "please look",
                "CustomFields": {"Vedette": stub.tickets[1].reference},
            },
        )
    )
    assert copy[0] == 201
    assert await deliver(make(stub), keyed(2)) == [None]
    assert versions_of(stub, 1) == [(1, 1), (2, 1)]
    assert not stub.tickets[2].kept


def versions_of(stub: RtStub, number: int) -> list[tuple[int, int]]:
    return [(int(mark.alert_id, 16), mark.version) for mark in marks_of(contents_of(stub.tickets[number]))]


async def test_without_the_right_to_merge_the_oldest_is_used(stub: RtStub, notes: MemoryNotes) -> None:
    faults = [Fault.LATE]
    stub.rights.remove("ModifyTicket")
    stub.fault = lambda request: faults.pop() if request.creates and faults else None
    await deliver(make(stub, notes), keyed(1))
    await deliver(make(stub, notes), keyed(1))
    stub.release()
    assert await deliver(make(stub), keyed(1, revision=2)) == [None]
    assert versions(stub) == {1: [(1, 1), (1, 2)], 2: [(1, 1)]}


# --- what goes wrong --------------------------------------------------------------------------------------------------
REFUSED = "the text is refused \x1b[31m\n" + "x" * 5_000


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("revision", [1, 2], ids=["create", "comment"])
async def test_what_is_refused_for_good_holds_up_nothing(
    stub: RtStub, notes: MemoryNotes, status: int, revision: int
) -> None:
    if revision == 2:
        await deliver(make(stub, notes), keyed(1))
    stub.fault = lambda request: (
        (status, {"message": REFUSED}) if request.writes and "web-1 " in request.body["Subject"] else None
    )
    refused, taken = await deliver(make(stub, notes), keyed(1, revision=revision), keyed(2, "other"))
    assert isinstance(refused, PermanentError)
    assert str(refused).isprintable()
    assert len(str(refused)) < 400
    assert taken is None
    stub.fault = lambda _: None
    assert await deliver(make(stub, notes), keyed(1, revision=revision)) == [None], "replayed from the dead letters"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((401, {}), "refused to log in vedette"),
        ((302, ""), "redirects to /NoAuth/Login.html"),
        ((403, {"message": "No permission"}), "Grant the right CreateTicket"),
        ((429, {}), "answered 429"),
        ((500, {}), "answered 500"),
        ((503, "<html>"), "answered 503"),
        (Fault.LOGIN_PAGE, "not JSON"),
        (Fault.GARBAGE, "JSON that RT 5 does not send"),
        (Fault.HANG, "did not answer within"),
        (Fault.DROP, "broke"),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again_and_says_what_to_do(
    stub: RtStub, notes: MemoryNotes, fault: Any, said: str
) -> None:
    stub.fault = lambda request: fault if request.creates else None
    (outcome,) = await deliver(make(stub, notes, timeout_s=0.3), keyed(1))
    assert isinstance(outcome, TransientError)
    assert said in str(outcome)
    stub.fault = lambda _: None
    assert await deliver(make(stub, notes), keyed(1)) == [None]
    assert len(versions(stub)) == 1


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [(drip(0.05), "did not answer within"), (flood, "broke|endless"), (apply_then(reset), "broke")],
    ids=["drips", "floods", "resets"],
)
async def test_answers_that_never_end_do_not_hold_it(
    stub: RtStub, notes: MemoryNotes, behaviour: Behaviour, said: str
) -> None:
    async with FaultProxy(stub.port) as proxy:
        sink = make(stub, notes, url=f"http://127.0.0.1:{proxy.port}", timeout_s=1)
        await sink.start()
        await proxy.switch(behaviour)
        (outcome,) = await sink.deliver([keyed(1)])
        assert isinstance(outcome, TransientError)
        assert re.search(said, str(outcome))
        await proxy.switch(passing)
        assert await sink.deliver([keyed(1)]) == [None]
        await sink.stop()
    assert versions(stub) == {1: [(1, 1)]}


async def test_a_server_that_says_when_to_come_back_is_heard(stub: RtStub) -> None:
    stub.fault = lambda request: (429, {}) if request.creates else None
    (outcome,) = await deliver(make(stub), keyed(1))
    assert outcome.retry_after_s == 7


async def test_a_server_that_fails_is_left_alone_for_the_rest_of_a_delivery(stub: RtStub) -> None:
    stub.fault = lambda request: (500, {}) if request.creates else None
    outcomes = await deliver(make(stub), *(sample_revision(number) for number in range(1, 101)))
    assert all(isinstance(outcome, TransientError) for outcome in outcomes)
    assert sum(request.creates for request in stub.requests) <= 4


async def test_one_bad_ticket_holds_up_no_other(stub: RtStub) -> None:
    stub.fault = lambda request: (500, {}) if request.creates and "web-3 " in request.body["Subject"] else None
    outcomes = await deliver(make(stub), *(sample_revision(number) for number in range(1, 31)))
    assert [index for index, outcome in enumerate(outcomes) if outcome is not None] == [2]


async def test_revisions_behind_a_failed_one_wait_in_order(stub: RtStub, notes: MemoryNotes) -> None:
    faults: list[Any] = [(500, {})]
    stub.fault = lambda request: faults.pop() if request.creates and faults else None
    outcomes = await deliver(make(stub, notes), keyed(1), keyed(2), keyed(3, "other"))
    assert [outcome is None for outcome in outcomes] == [False, False, True]
    assert await deliver(make(stub, notes), keyed(1), keyed(2)) == [None, None]
    assert sorted(versions(stub).values()) == [[(1, 1), (2, 1)], [(3, 1)]]


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("SeeQueue", "Grant the right SeeQueue in this queue; or the queue does not exist: create it"),
        ("CreateTicket", "Grant the right CreateTicket"),
    ],
)
async def test_a_right_that_is_lacking_is_named(stub: RtStub, right: str, said: str) -> None:
    stub.rights.remove(right)
    sink = make(stub)
    try:
        await sink.start()
        (outcome,) = await sink.deliver([keyed(1)])
    except TransientError as error:
        outcome = error
    await sink.stop()
    assert isinstance(outcome, TransientError)
    assert said in str(outcome)


@pytest.mark.parametrize("right", ["ShowTicket", "CommentOnTicket"])
async def test_tickets_are_not_created_anew_where_a_right_is_lacking(
    stub: RtStub, notes: MemoryNotes, right: str
) -> None:
    stub.rights.remove(right)
    await deliver(make(stub, notes), keyed(1))
    (outcome,) = await deliver(make(stub, notes), keyed(1, revision=2))
    assert isinstance(outcome, TransientError)
    assert f"Grant the right {right}" in str(outcome)
    stub.rights.add(right)
    assert await deliver(make(stub, notes), keyed(1, revision=2)) == [None]
    assert versions(stub) == {1: [(1, 1), (1, 2)]}


@pytest.mark.parametrize("said", [{"message": "Permission Denied"}, "<html>Permission denied by the proxy"], ids=str)
async def test_a_ticket_that_is_taken_away_just_now_is_looked_at_again(
    stub: RtStub, notes: MemoryNotes, said: Any
) -> None:
    await deliver(make(stub, notes), keyed(1))
    stub.fault = lambda request: (400, said) if request.comments else None
    (outcome,) = await deliver(make(stub, notes), keyed(1, revision=2))
    assert isinstance(outcome, TransientError)
    stub.tickets[1].status = "deleted"
    stub.fault = lambda _: None
    assert await deliver(make(stub, notes), keyed(1, revision=2)) == [None]
    assert versions(stub) == {2: [(1, 2)]}


async def test_a_question_that_is_refused_is_no_fault_of_an_alert(stub: RtStub) -> None:
    stub.fault = lambda request: (400, {"message": "Wrong query"}) if request.path == "/tickets" else None
    (outcome,) = await deliver(make(stub), keyed(1))
    assert isinstance(outcome, TransientError)
    assert "refused a question (400): Wrong query" in str(outcome)


# --- accounts and addresses -------------------------------------------------------------------------------------------
async def test_a_token_logs_in_and_is_read_again_from_its_file(stub: RtStub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("wrong\n")
    settings = RtSettings.model_validate({"url": stub.url, "queue": "SOC", "token_file": str(file)})
    sink = RtSink("rt", settings, SinkContext(tmp_path, HurryingClock()))
    with pytest.raises(TransientError, match="refused to log in the token's owner"):
        await sink.start()
    file.write_text(f"{stub.token}\n")
    assert await deliver(sink, keyed(1)) == [None]


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff", b"\xc3\xa4"])
async def test_a_secret_that_cannot_be_read_is_waited_for(stub: RtStub, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    settings = RtSettings.model_validate({"url": stub.url, "queue": "SOC", "token_file": str(file)})
    sink = RtSink("rt", settings, SinkContext(tmp_path))
    with pytest.raises(TransientError, match=r"secret|token"):
        await sink.start()
    await sink.stop()
    assert stub.requests == []


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "rt.example"},
        {"url": "ftp://rt.example"},
        {"url": "https://user:password@rt.example"},
        {"url": "https://rt.example:99999"},
        {"url": "https://rt.example?token=1-2-3"},
        {"queue": "a' OR id > 0"},
        {"reference_field": "a}'"},
        {"username": None},
        {"password": None},
        {"token": "1-2-3"},
        {"password_file": "x"},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"unknown": 1},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    works = {"url": "https://rt.example/rt/", "queue": "Security incidents", **ACCOUNT}
    assert RtSettings.model_validate(works).url == "https://rt.example/rt"
    with pytest.raises(ValidationError):
        RtSettings.model_validate({**works, **changes})


def test_secrets_are_not_shown() -> None:
    settings = RtSettings.model_validate(
        {"url": "https://rt.example", "queue": "x", "username": "a", "password": "s3cret"}
    )
    assert "s3cret" not in repr(settings)


async def test_a_ca_file_that_holds_none_is_a_mistake(tmp_path: Path) -> None:
    settings = {"url": "https://rt.example", "queue": "x", **ACCOUNT, "ca_file": str(tmp_path / "none.pem")}
    sink = RtSink("rt", RtSettings.model_validate(settings), SinkContext(tmp_path))
    with pytest.raises(ConfigError, match=r"none\.pem holds no certificates"):
        await sink.start()
    assert problems(await sink.probe()) == ["read ca_file"]


# --- doctor -----------------------------------------------------------------------------------------------------------
def problems(checks: Sequence[Check]) -> list[str]:
    assert all(check.remedy for check in checks if not check.ok)
    return [check.what for check in checks if not check.ok]


async def test_a_probe_of_a_tracker_that_is_well_set_up_finds_nothing_and_writes_nothing(stub: RtStub) -> None:
    checks = await make(stub).probe()
    assert problems(checks) == []
    assert "Request Tracker 5.0.3" in checks[0].what
    assert "not tried" in checks[-1].what
    assert not any(request.writes for request in stub.requests)
    await deliver(make(stub), keyed(1))
    assert problems(await make(stub).probe()) == []


@pytest.mark.parametrize(
    ("right", "what"),
    [
        ("SeeQueue", "see the queue SOC"),
        ("CreateTicket", "create tickets in SOC"),
        ("SeeCustomField", "find the custom field Vedette on tickets of SOC"),
        ("CommentOnTicket", "comment on tickets in SOC"),
        ("ModifyTicket", "change tickets in SOC"),
    ],
)
async def test_a_probe_names_each_right_that_is_lacking(stub: RtStub, right: str, what: str) -> None:
    await deliver(make(stub), keyed(1))
    stub.rights.remove(right)
    checks = await make(stub).probe()
    assert problems(checks) == [what]


async def test_a_probe_tells_a_dead_address_a_wrong_password_and_silence(stub: RtStub) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        (dead,) = await make(stub, url=nowhere).probe()
    (wrong,) = await make(stub, password="wrong").probe()
    stub.fault = lambda _: Fault.HANG
    (silent,) = await make(stub, timeout_s=0.2).probe()
    assert "can't be reached" in dead.problem
    assert "refused to log in" in wrong.problem
    assert wrong.remedy == "Correct the token, or username and password"
    assert "did not answer within 0.2 s" in silent.problem


async def test_a_probe_tells_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    async with RtStub(certificate=authority.issue_cert("127.0.0.1")) as secured:
        url = secured.url.replace("http:", "https:")
        (check,) = await make(secured, url=url, ca_file=str(tmp_path / "stranger.pem")).probe()
        assert "CERTIFICATE_VERIFY_FAILED" in check.problem
        assert "ca_file" in check.remedy
        assert problems(await make(secured, url=url, ca_file=str(tmp_path / "authority.pem")).probe()) == []
