"""Cutting bodies of JSON: every shape in which records come, whole and broken."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decoders import DECODERS
from collector.decoders._common.json_salvage import salvage
from vedette.schema.record import Piece

KUBE = DECODERS["kube_audit"]
FALCO = DECODERS["falco"]

A, B, C = b'{"a":1}', b'{"b":"}{"}', b'{"c":[{"d":"\\""}]}'


def numbered(pieces: list[Piece]) -> list[tuple[int, bytes]]:
    return [(piece.record + i, item) for piece in pieces for i, item in enumerate(piece.items)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b" \r\n\t\n", [], id="white space"),
        pytest.param(b"\xef\xbb\xbf", [], id="byte order mark alone"),
        pytest.param(A, [(1, A)], id="one object"),
        pytest.param(b" \n" + A + b"\r\n\n", [(1, A)], id="space around it"),
        pytest.param(b"\xef\xbb\xbf" + A, [(1, A)], id="byte order mark"),
        pytest.param(b'{\n  "a": 1\n}\n', [(1, b'{\n  "a": 1\n}')], id="pretty-printed"),
        pytest.param(A + b"\n" + B + b"\n" + C, [(1, A), (2, B), (3, C)], id="lines"),
        pytest.param(A + b"\r\n" + B + b"\r\n", [(1, A), (2, B)], id="lines with CRLF"),
        pytest.param(A + b"\n\n \n" + B + b"\n", [(1, A), (4, B)], id="blank lines count"),
        pytest.param(b"\n\n" + A + b"\n" + B, [(3, A), (4, B)], id="blank lines before"),
        pytest.param(b"\xef\xbb\xbf\n" + A + b"\n" + B, [(2, A), (3, B)], id="byte order mark before lines"),
        pytest.param(b"[]", [], id="empty array"),
        pytest.param(b"[" + A + b"," + B + b" , " + C + b"]", [(1, A), (2, B), (3, C)], id="array"),
        pytest.param(b"[\n" + A + b",\n" + B + b"\n]\n", [(1, A), (2, B)], id="array over lines"),
        pytest.param(A + B + C, [(1, A), (2, B), (3, C)], id="stream without separator"),
        pytest.param(A + b" " + B + b", " + C, [(1, A), (2, B), (3, C)], id="stream with separators"),
        pytest.param(A + b"\n" + B + C + b"\n" + A, [(1, A), (2, B), (2, C), (3, A)], id="two in one line"),
        pytest.param(
            b'{\n"a":1\n}\n{\n"b":2\n}', [(1, b'{\n"a":1\n}'), (2, b'{\n"b":2\n}')], id="pretty-printed stream"
        ),
        pytest.param(b"[" + A + b"]\n[" + B + b"]\n", [(1, A), (2, B)], id="lines of arrays"),
        pytest.param(b"nonsense", [(1, b"nonsense")], id="no JSON"),
        pytest.param(
            b"17:57: Warning {\n17:58: Error }", [(1, b"17:57: Warning {"), (2, b"17:58: Error }")], id="text"
        ),
        pytest.param(b"1\n[2]\ntrue", [(1, b"1"), (2, b"2"), (3, b"true")], id="scalars"),
        pytest.param(b"[1," + A + b"]", [(1, b"1"), (2, A)], id="scalar in an array"),
    ],
)
def test_shapes(body: bytes, expected: list[tuple[int, bytes]]) -> None:
    assert numbered(FALCO.split(body)) == expected
    assert numbered(KUBE.split(body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"[" + A + b"," + B + b',{"c":', [A, B, b'{"c":'], id="array cut off"),
        pytest.param(b"[" + A + b"," + B, [A, B], id="array cut off between items"),
        pytest.param(b"[" + A + b"," + B + b"]}", [A, B], id="a bracket too many"),
        pytest.param(b"[" + A + b", oops, " + B + b"]", [A, b"oops", B], id="garbage between"),
        pytest.param(
            b"[" + A + b',{"x":"\x01\t\x00"},' + B + b"]\n", [A, b'{"x":"\x01\t\x00"}', B], id="control character"
        ),
        pytest.param(b"[" + A + b',\n{"x":"\x01"},\n' + B + b"]", [A, b'{"x":"\x01"}', B], id="the same over lines"),
        pytest.param(b"[" + A + b',{"x":[}},' + B + b"]", [A, b'{"x":[}}', B], id="bracket of the wrong kind"),
        pytest.param(b"[" + A + b',{"x":1' + B + b"]", [A, b'{"x":1', B], id="object that never closes"),
        pytest.param(b"[" + A + b',{"x":1,' + B + b"]", [A, b'{"x":1', B], id="the same after a comma"),
        pytest.param(b'{"x":{"y":1}' + A, [b'{"x":{"y":1}', A], id="cut off, then another"),
        pytest.param(b"{" + A, [b"{", A], id="a brace too many"),
        pytest.param(A + b"\x00\x00" + B, [A, b"\x00\x00", B], id="NUL bytes"),
        pytest.param(A + b'\n{"x":"cut\n' + B, [A, b'{"x":"cut', B], id="line cut off in a string"),
        pytest.param(b'me":"x"}\n' + A + b"\n" + B, [b'me":"x"}', A, B], id="first line cut off"),
        pytest.param(b'{"x":[1,\n' + A + b"\n" + B + b'\n{"y"', [b'{"x":[1', A, B, b'{"y"'], id="both ends cut off"),
        pytest.param(
            b'["\x01",\n"user":{"name":"x"},' + A,
            [b'"\x01",\n"user":{"name":"x"}', A],
            id="an orphaned value is no record",
        ),
        pytest.param(b'{"x":"\\' + A, [b'{"x":"\\' + A], id="a lone backslash swallows the rest"),
    ],
)
def test_salvage_keeps_the_good_and_every_bad_stretch(body: bytes, expected: list[bytes]) -> None:
    assert [item for _, item in numbered(FALCO.split(body))] == expected


def test_a_cut_off_line_keeps_the_numbers_of_those_around_it() -> None:
    assert numbered(FALCO.split(A + b'\n{"x":\n' + B, record=10)) == [(10, A), (11, b'{"x":'), (12, B)]
    assert numbered(FALCO.split(b'{"x":\n' + A + b'\n{"y":', record=10)) == [(10, b'{"x":'), (11, A), (12, b'{"y":')]


EVENT = b'{"level":"Metadata","auditID":"1"}'
OTHER = b'{"level":"Request","auditID":"2","responseObject":{"kind":"EventList","items":[]}}'


def event_list(*items: bytes, key_order: tuple[str, ...] = ("kind", "apiVersion", "metadata", "items")) -> bytes:
    members = {
        "kind": b'"EventList"',
        "apiVersion": b'"audit.k8s.io/v1"',
        "metadata": b"{}",
        "items": b"[" + b",".join(items) + b"]",
    }
    return b"{" + b",".join(b'"%s":%s' % (key.encode(), members[key]) for key in key_order) + b"}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(event_list(EVENT, OTHER), [(1, EVENT), (2, OTHER)], id="EventList"),
        pytest.param(event_list(EVENT) + b"\n", [(1, EVENT)], id="with a line end"),
        pytest.param(event_list(), [], id="empty"),
        pytest.param(b'{"kind":"EventList","items":null}', [], id="null, as Go writes an empty list"),
        pytest.param(
            event_list(EVENT, OTHER, key_order=("apiVersion", "items", "kind", "metadata")),
            [(1, EVENT), (2, OTHER)],
            id="sorted keys",
        ),
        pytest.param(
            event_list(EVENT).replace(b",", b",\n  "), [(1, EVENT.replace(b",", b",\n  "))], id="pretty-printed"
        ),
        pytest.param(event_list(EVENT).replace(b"/v1", b"/v1beta1"), [(1, EVENT)], id="v1beta1"),
        pytest.param(
            b"[" + event_list(EVENT, OTHER) + b"," + EVENT + b"]", [(1, EVENT), (2, OTHER), (3, EVENT)], id="array"
        ),
        pytest.param(
            EVENT + b"\n" + event_list(EVENT, OTHER) + b"\n" + OTHER,
            [(1, EVENT), (2, EVENT), (2, OTHER), (3, OTHER)],
            id="a line of its own",
        ),
        pytest.param(event_list(EVENT) + event_list(OTHER), [(1, EVENT), (2, OTHER)], id="stream of them"),
        pytest.param(OTHER, [(1, OTHER)], id="a response that lists core events is no envelope"),
        pytest.param(b'{"kind":"EventList"}', [(1, b'{"kind":"EventList"}')], id="no items"),
        pytest.param(
            b'{"kind":"EventList","items":3}', [(1, b'{"kind":"EventList","items":3}')], id="items of another type"
        ),
    ],
)
def test_event_lists(body: bytes, expected: list[tuple[int, bytes]]) -> None:
    assert numbered(KUBE.split(body)) == expected


@pytest.mark.parametrize("order", [("kind", "apiVersion", "metadata", "items"), ("apiVersion", "metadata", "items")])
@pytest.mark.parametrize("cut", [1, 2, 10])
def test_a_cut_off_event_list_gives_its_complete_items(order: tuple[str, ...], cut: int) -> None:
    body = event_list(EVENT, OTHER, EVENT, key_order=order)[:-cut]
    found = [item for _, item in numbered(KUBE.split(body if b"EventList" in body else body + b'"EventList"'))]
    assert found[:2] == [EVENT, OTHER]


def test_one_bad_item_does_not_cost_its_batch() -> None:
    bad = b'{"level":"Metadata","auditID":}'
    assert [item for _, item in numbered(KUBE.split(event_list(EVENT, bad, OTHER)))] == [EVENT, bad, OTHER]


def test_items_do_not_keep_the_body() -> None:
    [piece] = KUBE.split(event_list(EVENT, OTHER))
    assert all(type(item) is bytes for item in piece.items)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=8), JSON, min_size=1, max_size=5), min_size=1, max_size=6)


def compact(doc: object) -> bytes:
    return json.dumps(doc, ensure_ascii=False).encode(errors="surrogatepass").decode("utf-8", "replace").encode()


def pretty(doc: object) -> bytes:
    return json.dumps(doc, indent=2).encode()


def joined_by(separator: bytes) -> Callable[[list[bytes]], bytes]:
    return separator.join


@pytest.mark.parametrize("render", [compact, pretty])
@pytest.mark.parametrize(
    "join",
    [
        pytest.param(joined_by(b"\n"), id="lines"),
        pytest.param(joined_by(b"\r\n"), id="CRLF"),
        pytest.param(joined_by(b""), id="stream"),
        pytest.param(lambda items: b"[" + b",".join(items) + b"]", id="array"),
        pytest.param(lambda items: b"[\n  " + b",\n  ".join(items) + b"\n]\n", id="pretty array"),
        pytest.param(lambda items: event_list(*items), id="EventList"),
    ],
)
@settings(max_examples=30)  # of each of twelve shapes
@given(docs=OBJECTS)
def test_split_undoes_join(
    render: Callable[[object], bytes], join: Callable[[list[bytes]], bytes], docs: list[object]
) -> None:
    items = [render(doc) for doc in docs]
    assert [item for piece in KUBE.split(join(items)) for item in piece.items] == items


@given(docs=OBJECTS)
def test_salvage_agrees_with_the_fast_path(docs: list[object]) -> None:
    items = [compact(doc) for doc in docs]
    assert salvage(b"[" + b",".join(items) + b"]") == items


@given(docs=OBJECTS, cut=st.integers(1, 40))
def test_salvage_loses_nothing_before_the_cut(docs: list[object], cut: int) -> None:
    items = [compact(doc) for doc in docs]
    body = b"[" + b",".join(items)
    found = salvage(body[: max(len(body) - cut, 1)])
    whole = sum(len(b"[" + b",".join(items[: n + 1])) <= len(body) - cut for n in range(len(items)))
    assert found[:whole] == items[:whole]
    assert len(found) <= whole + 1


@given(
    st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\n", b" ", b"a", b"1", A, EVENT, b"\xff"])
    )
)
def test_no_byte_that_says_something_is_lost(parts: list[bytes]) -> None:
    body = b"".join(parts)
    kept = b"".join(item for piece in FALCO.split(body) for item in piece.items)
    for sign in (b"a", b"1", b'"', b":", b"\\", b"\xff", b"{"):
        assert kept.count(sign) == body.count(sign)


HOSTILE = {
    "brackets": b"[",
    "braces": b"{",
    "keyed braces": b'{"a":',
    "mixed": b'[{"":',
    "backslashes": b'"\\\\',
    "quotes": b'"',
    "objects that never close": b'{"a":1 ',
    "broken strings": b'{"a\n',
    "blank lines": b"\n",
    "blank line, then brace": b" \n{",
    "envelopes": b'{"kind":"EventList","items":[',
    "members": b'{"kind":"EventList","a":"b","a":"b",',
    "metadata": b'{"kind":"EventList","metadata":{"a":"b"},',
    "commas": b"{},",
    "colons": b":{}",
    "text": b"abc {",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("prefix", [b"", b"{", b'["', b'{"x'], ids=["", "brace", "string in array", "string"])
def test_time_grows_with_size_alone(prefix: bytes, unit: bytes) -> None:
    """Sixteen times the bytes; a quadratic step would take 256 times as long."""

    def seconds(count: int) -> float:
        body = prefix + unit * count
        best = float("inf")
        for _ in range(3):
            begin = time.process_time()
            KUBE.split(body)
            best = min(best, time.process_time() - begin)
        return best

    small = 4_000 // len(unit)
    assert seconds(16 * small) < 80 * max(seconds(small), 0.0005)
