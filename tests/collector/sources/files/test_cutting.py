"""Lines out of bytes: the same whatever the portions they come in."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.sources.lines import LineStream, Place, cut, cutting

if TYPE_CHECKING:
    from vedette.schema.event import Decoder
    from vedette.schema.record import Piece

LIMIT = 20


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "ITEM_BYTES_MAX", LIMIT)
    monkeypatch.setattr(cutting, "DEAD_LETTER_BYTES_MAX", 18)


def numbered(pieces: list[Piece]) -> list[tuple[int, bytes]]:
    return [(piece.record + at, item) for piece in pieces for at, item in enumerate(piece.items)]


def streamed(portions: list[bytes], decoder: Decoder) -> list[tuple[int, bytes]]:
    stream = LineStream(decoder)
    cuts = [taken for portion in portions for taken in stream.feed(portion)] + stream.feed(b"", final=True)
    return numbered([piece for taken in cuts for piece in taken.pieces])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"\n\n", [], id="blank lines"),
        pytest.param(b"a\n\nb", [(1, b"a"), (3, b"b")], id="a blank line counts"),
        pytest.param(b"\0\0\0a\n\0b\n", [(1, b"a"), (2, b"\0b")], id="a hole before the first line"),
        pytest.param(b"x" * 20 + b"\ny", [(1, b"x" * 20), (2, b"y")], id="the longest line"),
        pytest.param(b"x" * 21 + b"\ny", [(1, b"xxxx[Truncated...]"), (2, b"y")], id="an overlong line"),
        pytest.param(b"x" * 99, [(1, b"xxxx[Truncated...]")], id="an overlong last line"),
        pytest.param(b"fields q\na\n", [(2, b"a")], id="a header"),
    ],
)
def test_lines(text: bytes, expected: list[tuple[int, bytes]], decoder: Decoder) -> None:
    assert streamed([text], decoder) == expected
    assert streamed([bytes([byte]) for byte in text], decoder) == expected


@given(text=st.text(alphabet="ab\n", max_size=120).map(str.encode), cuts=st.lists(st.integers(0, 120)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_portions_change_nothing(decoder: Decoder, text: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    portions = [text[start:end] for start, end in pairwise(edges)]
    whole = streamed([text], decoder)
    assert streamed(portions, decoder) == whole
    lines = text.split(b"\n")
    kept = [line if len(line) <= LIMIT else line[:4] + b"[Truncated...]" for line in lines]
    assert whole == [(number, line) for number, line in enumerate(kept, 1) if line]


@given(text=st.text(alphabet="ab\n\0", max_size=120).map(str.encode), skipping=st.booleans(), final=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_left_is_the_beginning_of_one_line(decoder: Decoder, text: bytes, skipping: bool, final: bool) -> None:
    place = Place(skipping=skipping)
    while text:
        taken = cut(text, place, decoder, final=final)
        if not taken.consumed:
            break
        text, place = text[taken.consumed :], taken.place
    assert b"\n" not in text
    assert len(text) <= LIMIT
    assert not (final and text)
