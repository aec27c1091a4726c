"""Files as `vedette scan` reads them: lines or one document, plain or compressed, guessed or told."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import zstandard

from collector.decoders import DECODERS
from collector.sources.lines import Input, documents, guess_format, read_records
from vedette.schema.errors import ConfigError, DecodeError
from vedette.schema.limits import ITEM_BYTES_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.schema.record import Piece

AUDIT = DECODERS["kube_audit"]
EVENTS = [
    {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": str(n), "stage": "ResponseComplete", "verb": "get"}
    for n in range(3)
]
EVENT_LIST = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": EVENTS}
ALERT = {"output": "o", "priority": "Notice", "rule": "R", "time": "2026-11-21T00:00:00.000000000Z"}
VPC_LINE = "2 123456789012 eni-0a1b 10.0.0.1 10.0.0.2 1 2 6 3 4 1649721732 1649721788 ACCEPT OK"
VPC_HEADER = "version srcaddr dstaddr action"


def lines(*documents: object) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def pretty(document: object, indent: int | None = 2) -> bytes:
    return json.dumps(document, indent=indent).encode()


def found(pieces: list[Piece]) -> list[tuple[int, str]]:
    return [
        (piece.record + at, str(AUDIT.decode(item, piece.context)["auditID"]))
        for piece in pieces
        for at, item in enumerate(piece.items)
    ]


ALL = [(1, "0"), (2, "1"), (3, "2")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(lines(*EVENTS), ALL, id="lines"),
        pytest.param(lines(*EVENTS)[:-1], ALL, id="last line without its end"),
        pytest.param(b"\xef\xbb\xbf" + lines(*EVENTS), ALL, id="byte order mark"),
        pytest.param(b"\n" + lines(*EVENTS), [(2, "0"), (3, "1"), (4, "2")], id="blank line first"),
        pytest.param(lines(EVENT_LIST), ALL, id="EventList in a line"),
        pytest.param(pretty(EVENT_LIST), ALL, id="EventList, pretty-printed"),
        pytest.param(pretty(EVENTS), ALL, id="array, pretty-printed"),
        pytest.param(pretty(EVENTS, 0), ALL, id="array without indentation"),
        pytest.param(pretty(EVENTS, None), ALL, id="array in a line"),
        pytest.param(pretty(EVENTS[0]), ALL[:1], id="one event, pretty-printed"),
        pytest.param(lines(EVENTS[0]), ALL[:1], id="one event"),
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\n \n", [], id="blank"),
    ],
)
def test_forms(tmp_path: Path, pack: type[bytes], body: bytes, expected: list[tuple[int, str]]) -> None:
    path = tmp_path / "audit"
    path.write_bytes(pack(body))
    assert found(list(read_records(path, AUDIT))) == expected


def test_a_damaged_first_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.write_bytes(b'{"kind":"Event","api\n' + lines(*EVENTS))
    (piece, *more) = read_records(path, AUDIT)
    assert len(piece.items) + sum(len(piece.items) for piece in more) == 4
    with pytest.raises(DecodeError):
        AUDIT.decode(piece.items[0], "")


def test_a_list_longer_than_a_record_is_split_in_whatever_line(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.write_bytes(pretty(EVENT_LIST | {"padding": "x" * ITEM_BYTES_MAX}, None) + b"\n" + lines(EVENTS[0]))
    assert found(list(read_records(path, AUDIT))) == [*ALL, (2, "0")]


def test_an_overlong_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    for body in (lines(EVENTS[0] | {"x": "x" * ITEM_BYTES_MAX}), pretty([EVENTS[0] | {"x": "x" * ITEM_BYTES_MAX}])):
        path.write_bytes(body)
        ((item,),) = [piece.items for piece in read_records(path, AUDIT)]
        assert len(item) <= 64 * 1024
        with pytest.raises(DecodeError):
            AUDIT.decode(item, "")


def test_a_document_over_the_bound_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_BYTES_MAX", 1_500_000)
    path = tmp_path / "audit"
    path.write_bytes(pretty(EVENTS * 20_000))
    with pytest.raises(ConfigError, match="one record a line"):
        list(read_records(path, AUDIT))


def test_vpc_headers_set_the_context(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    path.write_text(f"{VPC_HEADER}\n2 10.0.0.1 10.0.0.2 ACCEPT\n")
    assert list(read_records(path, DECODERS["vpc_flow"])) == [([b"2 10.0.0.1 10.0.0.2 ACCEPT"], VPC_HEADER, 2)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_progress_counts_bytes_on_disk(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "audit"
    path.write_bytes(pack(lines(*EVENTS * 20_000)))
    told: list[int] = []
    assert sum(len(piece.items) for piece in read_records(path, AUDIT, progress=told.append)) == 60_000
    assert told == sorted(told)
    assert told[-1] == path.stat().st_size


def test_an_archive_cut_off_yields_what_could_be_read_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "audit.gz"
    packed = gzip.compress(lines(*EVENTS * 1000))
    path.write_bytes(packed[: len(packed) // 2])
    with Input(path) as source:
        pieces = list(read_records(source, AUDIT))
        assert source.broken == "ends in the middle"
    assert sum(len(piece.items) for piece in pieces) > 100


def test_peeking_consumes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.write_bytes(gzip.compress(lines(*EVENTS)))
    with Input(path) as source:
        assert guess_format(source.peek()) == "kube_audit"
        assert source.peek(5) == b'{"kin'
        assert found(list(read_records(source, AUDIT))) == ALL


def test_standard_input(tmp_path: Path) -> None:
    code = (
        "from collector.decoders import DECODERS; from collector.sources.lines import read_records\n"
        "print([piece.record for piece in read_records('-', DECODERS['kube_audit'])])"
    )
    for body in (lines(*EVENTS), gzip.compress(lines(*EVENTS))):
        done = subprocess.run([sys.executable, "-c", code], input=body, capture_output=True, check=True)
        assert done.stdout == b"[1]\n"


@pytest.mark.parametrize("name", [".", "nothing"])
def test_what_cannot_be_read_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_records(tmp_path / name, AUDIT))


def test_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "audit.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        block = lines(*EVENTS * 3000)
        for _ in range(200):
            file.write(block)
    code = (
        "import resource, sys\n"
        "from collector.decoders import DECODERS\n"
        "from collector.sources.lines import read_records\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count = sum(len(piece.items) for piece in read_records(sys.argv[1], DECODERS['kube_audit']))\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    count, grown_kib = map(int, done.stdout.split())
    assert count == 200 * 9000
    assert grown_kib < 60_000


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        pytest.param(lines(*EVENTS), "", "kube_audit", id="audit lines"),
        pytest.param(lines(EVENT_LIST), "", "kube_audit", id="EventList"),
        pytest.param(pretty(EVENT_LIST)[:80], "", "kube_audit", id="EventList, beginning"),
        pytest.param(pretty(EVENTS), "", "kube_audit", id="array"),
        pytest.param(lines({k: v for k, v in EVENTS[0].items() if k != "apiVersion"}), "", "kube_audit", id="item"),
        pytest.param(lines(ALERT), "", "falco", id="alert"),
        pytest.param(pretty(ALERT)[:90], "", "falco", id="alert, beginning"),
        pytest.param(
            lines(ALERT | {"output": '"apiVersion":"audit.k8s.io/v1"'}), "", "falco", id="alert quoting another"
        ),
        pytest.param(b'{"log":"{\\"rule\\":1,\\"priority\\":1,\\"output\\":1}"}', "", "falco", id="alert in a line"),
        pytest.param(b'[{"date":1,"message":"{"},{}]', "", None, id="half a line"),
        pytest.param(b'{"flow":{"verdict":"DROPPED","Type":"L7"}}', "", "hubble", id="wrapped flow"),
        pytest.param(b'{"flow":{},"node_name":"n","time":"t"}\n{', "", "hubble", id="what Hubble exports"),
        pytest.param(b'{"verdict":"DROPPED","Type":"L7"}\n{', "", "hubble", id="bare flow"),
        pytest.param(b'{"lost_events":{},"node_name":"n"}\n{', "", "hubble", id="lost events"),
        pytest.param(b'{"flow":{"pkts_toserver":1},"event_type":"flow"}', "", None, id="another product's flow"),
        pytest.param(b"6 TransitGateway " + b"- " * 34 + b"\n", "", "vpc_flow", id="gateway's line"),
        pytest.param(f"{VPC_HEADER}\n".encode(), "", "vpc_flow", id="flow header"),
        pytest.param(f"{VPC_LINE}\n{VPC_LINE}\n".encode(), "", "vpc_flow", id="flow line"),
        pytest.param(b"5 1 2 3\n", "1_vpcflowlogs_eu-west-1_fl-1_x.log.gz", "vpc_flow", id="AWS's object name"),
        pytest.param(b"hello\n", "audit.log", None, id="text"),
        pytest.param(b'{"a": 1}\n', "", None, id="other JSON"),
        pytest.param(b"[]", "", None, id="empty array"),
        pytest.param(b"", "", None, id="empty"),
    ],
)
def test_guesses(body: bytes, name: str, expected: str | None) -> None:
    assert guess_format(body, name) == expected
