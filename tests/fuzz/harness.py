"""Coverage-guided fuzzing of a decoder, with atheris (libFuzzer): run `fuzz_<decoder>.py`, or `run.py` for all of them.

`try_out` is the target, and pytest replays the corpus through it. A crash is any exception but DecodeError, a broken
promise, or a body on which cutting takes longer than its size allows. Options are libFuzzer's
(`-max_total_time=60`); finds are kept in a scratch directory, and reduced ones worth keeping go to corpus/<decoder>/.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
TOKENS = Path(__file__).with_name("tokens.dict")
REPEATS = 8
"""A body is repeated as often, then as often again; time should grow by as much, a quadratic step takes 64 times."""
GROWTH_MAX = 3 * REPEATS
NOISE_S = 0.02


def try_out(decoder: Any, refusal: type[Exception], dumps: Callable[[object], bytes], data: bytes) -> None:
    """Cut the bytes, decode every record, ask everything that can be asked of it."""
    context, _, body = data.partition(b"\0")
    if len(context) > 100 or b"{" in context:
        context, body = b"", data
    for piece in decoder.split(body, context.decode("utf-8", "replace")):
        assert piece.record >= 1, "numbers begin at 1"
        for item in piece.items:
            assert item, "no record is empty"
            try:
                head = decoder.decode(item, piece.context)
                doc = decoder.decode_all(item, piece.context)
            except refusal:
                continue
            assert dumps(head), "a head can be written again"
            assert dumps(doc), "a document can be written again"
            assert {key: doc[key] for key in head} == head, "the head is part of the document"
            assert decoder.uid(item, doc) == decoder.uid(item, decoder.decode_all(item, piece.context)), (
                "one content, one id"
            )
            for found in (head, doc):
                decoder.nature(found)
                decoder.losses(found)
                assert 0 <= decoder.time_ns(found) < 2**63, "a time is 63 bits of nanoseconds"
                decoder.event_ids(found)
                decoder.facts(found)
                decoder.finding(found)


def check_time(decoder: Any, body: bytes) -> None:
    """Cutting a body that is longer must not take longer than in proportion; measured again where it seems to."""
    ratio = ""
    for _ in range(3):
        small, large = (seconds(decoder, body * times) for times in (REPEATS, REPEATS**2))
        if large <= GROWTH_MAX * small + NOISE_S:
            return
        ratio = f"{large:.3f} s for {REPEATS} times what took {small:.3f} s"
    raise AssertionError(ratio)


def seconds(decoder: Any, body: bytes) -> float:
    """Processor time of cutting a body."""
    begin = time.process_time()
    decoder.split(body)
    return time.process_time() - begin


def main(name: str) -> None:
    """Fuzz the decoder `name` until libFuzzer's options say stop, or something crashes."""
    import atheris  # noqa: PLC0415 - absent where it has no wheel, and pytest replays without it

    with atheris.instrument_imports(include=["collector"]):
        from collector.decoders import DECODERS  # noqa: PLC0415 - instrumented while it is imported
    decoder, refusal, dumps = imports(DECODERS[name])

    def target(data: bytes) -> None:
        try_out(decoder, refusal, dumps, data)
        if len(data) > 8 and data[0] & 15 == len(data) & 15:  # one input in sixteen
            check_time(decoder, data)

    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as finds:
        atheris.Setup([sys.argv[0], f"-dict={TOKENS}", *sys.argv[1:], finds, str(CORPUS / name)], target)
        atheris.Fuzz()


def imports(decoder: Any) -> tuple[Any, type[Exception], Callable[[object], bytes]]:
    """What `try_out` needs, imported late so that atheris can look into it."""
    import orjson  # noqa: PLC0415

    from vedette.schema.errors import DecodeError  # noqa: PLC0415

    return decoder, DecodeError, orjson.dumps
