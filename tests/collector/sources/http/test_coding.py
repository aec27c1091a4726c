"""Content codings, undone within bounds."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.sources.http.coding import CODINGS, Corrupt, Expands, expand
from vedette.schema.limits import BODY_FREE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}
BARE_DEFLATE = "bare deflate"


def encode(coding: str, body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15) if coding == BARE_DEFLATE else ENCODERS[coding](body)


def undo(coding: str, body: bytes, bytes_max: int = 64 * MIB) -> bytes:
    return expand("deflate" if coding == BARE_DEFLATE else coding, body, bytes_max)


@given(coding=st.sampled_from([*ENCODERS, BARE_DEFLATE]), seed=st.binary(max_size=300), times=st.integers(0, 2_000))
def test_expanding_undoes_compressing(coding: str, seed: bytes, times: int) -> None:
    body = seed * times
    assert undo(coding, encode(coding, body)) == body


@given(coding=st.sampled_from(["gzip", "zstd"]), parts=st.lists(st.binary(max_size=500), max_size=8))
def test_members_and_frames_follow_one_another(coding: str, parts: list[bytes]) -> None:
    assert undo(coding, b"".join(encode(coding, part) for part in parts)) == b"".join(parts)


@given(coding=st.sampled_from(sorted(ENCODERS)), body=st.binary(min_size=1, max_size=5_000), share=st.floats(0, 1))
def test_a_cut_body_is_never_taken_for_whole(coding: str, body: bytes, share: float) -> None:
    whole = encode(coding, body)
    kept = int(share * (len(whole) - 1))
    if kept:
        with pytest.raises(Corrupt):
            undo(coding, whole[:kept])


@given(coding=st.sampled_from(sorted(CODINGS)), body=st.binary(max_size=2_000), start=st.sampled_from([b"", b"whole"]))
def test_any_bytes_expand_or_are_refused(coding: str, body: bytes, start: bytes) -> None:
    with suppress(Corrupt, Expands):
        undo(coding, (encode(coding, start) if start and coding in ENCODERS else b"") + body)


@pytest.mark.parametrize("coding", [*ENCODERS, BARE_DEFLATE])
def test_a_bomb_is_stopped_while_it_unfolds(coding: str) -> None:
    encoder: Any
    if coding == "zstd":
        encoder = zstandard.ZstdCompressor().compressobj()
    else:
        encoder = zlib.compressobj(1, wbits={"gzip": 31, "deflate": 15, BARE_DEFLATE: -15}[coding])
    block = bytes(MIB)
    bomb = b"".join(encoder.compress(block) for _ in range(128)) + encoder.flush()
    tracemalloc.start()
    try:
        with pytest.raises(Expands):
            undo(coding, bomb, 2 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", ENCODERS)
def test_the_ratio_is_bounded(coding: str) -> None:
    bomb = encode(coding, bytes(BODY_FREE_BYTES + 16 * MIB))
    with pytest.raises(Expands):
        undo(coding, bomb)
    assert undo(coding, encode(coding, bytes(BODY_FREE_BYTES))) == bytes(BODY_FREE_BYTES)


def test_zero_padding_may_follow_gzip() -> None:
    assert undo("gzip", gzip.compress(b"a") + bytes(512)) == b"a"
    with pytest.raises(Corrupt):
        undo("gzip", gzip.compress(b"a") + b"\0a")


def test_empty_members_and_blocks_are_bounded() -> None:
    with pytest.raises(Expands):
        undo("gzip", gzip.compress(b"") * 10_001)
    frame = zstandard.compress(b"")
    with pytest.raises(Expands):
        undo("zstd", frame * 100_001)
    with pytest.raises(Expands):
        undo("zstd", frame[:-3] + b"\0\0\0" * 100_001)


def test_skippable_zstd_frames_are_skipped() -> None:
    skippable = struct.pack("<II", 0x184D2A53, 3) + b"abc"
    assert undo("zstd", skippable + zstandard.compress(b"a") + skippable) == b"a"
    with pytest.raises(Corrupt):
        undo("zstd", skippable[:-1])


def test_a_zstd_window_is_bounded() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = encoder.compress(bytes(range(256)) * 4096) + encoder.flush()
    with pytest.raises(Corrupt):
        undo("zstd", frame)
