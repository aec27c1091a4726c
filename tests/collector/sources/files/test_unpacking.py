"""gzip and Zstandard, in any portions, with bounded memory."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.sources.lines import Unpacker, packing_of
from collector.sources.lines.unpacking import FEED_BYTES
from vedette.schema.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from collector.sources.lines.unpacking import Packing

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0skip"


def unpack(packed: bytes, packing: Packing, size: int = 2048) -> tuple[bytes, Unpacker]:
    unpacker = Unpacker(packing)
    return b"".join(unpacker.feed(packed[at : at + size]) for at in range(0, len(packed), size)), unpacker


@given(packing=st.sampled_from(["gzip", "zstd"]), members=st.lists(st.binary(max_size=400)), size=st.integers(1, 64))
def test_members_follow_each_other(packing: Packing, members: list[bytes], size: int) -> None:
    text, unpacker = unpack(b"".join(map(PACK[packing], members)), packing, size)
    assert text == b"".join(members)
    assert unpacker.clean is bool(members)
    assert not unpacker.broken


@given(packing=st.sampled_from(["gzip", "zstd"]), text=st.binary(max_size=400), data=st.data())
def test_what_is_cut_off_is_not_clean(packing: Packing, text: bytes, data: st.DataObject) -> None:
    packed = PACK[packing](b"1") + PACK[packing](text)
    first = len(PACK[packing](b"1"))
    length = data.draw(st.integers(0, len(packed) - 1))
    got, unpacker = unpack(packed[:length], packing)
    assert (b"1" + text).startswith(got)
    assert unpacker.clean is (length == first)


@given(packing=st.sampled_from(["gzip", "zstd"]), garbage=st.binary())
def test_garbage_is_no_exception(packing: Packing, garbage: bytes) -> None:
    magic = PACK[packing](b"")[:4]
    unpack(magic + garbage, packing)
    unpack(garbage, packing)


@pytest.mark.parametrize(
    ("packing", "packed", "text", "clean", "broken"),
    [
        ("gzip", gzip.compress(b"a") + bytes(99), b"a", True, ""),
        ("gzip", gzip.compress(b"a") + b"\0" + gzip.compress(b"b"), b"ab", True, ""),
        ("gzip", gzip.compress(b"a") + b"rest", b"a", True, "followed by bytes that are no part of it"),
        ("gzip", gzip.compress(b"a" * 99_999)[:-8] + bytes(8), b"a" * 98_304, False, "damaged"),
        ("zstd", SKIPPABLE + zstandard.compress(b"a") + SKIPPABLE, b"a", True, ""),
    ],
    ids=["padding", "padding between", "something else behind", "wrong checksum", "skippable frames"],
)
def test_oddities(packing: Packing, packed: bytes, text: bytes, clean: bool, broken: str) -> None:
    got, unpacker = unpack(packed, packing)
    assert got == text
    assert unpacker.clean is clean
    assert unpacker.broken.startswith(broken)
    assert bool(unpacker.broken) is bool(broken)


@pytest.mark.parametrize("packing", PACK)
def test_a_bomb_comes_in_bearable_portions(packing: Packing) -> None:
    bomb = PACK[packing](bytes(256 * MIB))
    unpacker = Unpacker(packing)
    portions = range(0, len(bomb), FEED_BYTES[packing])
    sizes = [len(unpacker.feed(bomb[at : at + FEED_BYTES[packing]])) for at in portions]
    assert sum(sizes) == 256 * MIB
    assert max(sizes) <= 64 * MIB


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ((gzip.compress(b"")[:4],), "gzip"),
        ((zstandard.compress(b"")[:4], SKIPPABLE, b"\x5f\x2a\x4d\x18"), "zstd"),
        ((b"", b"{", b'{"a"', b"\x60\x2a\x4d\x18", b"2 12"), None),
    ],
)
def test_magic(heads: Iterable[bytes], expected: str | None) -> None:
    assert {packing_of(head) for head in heads} == {expected}
