"""Rule files gone wrong: seeded changes to texts of one language, from a flipped bit to a misplaced subtree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import yaml

SCRAPS: Final = (
    *("", " ", "\t", "\n", "---\n", "...\n", "- ", ": ", "? ", "|", "|-\n", ">", "&a ", "*a", "<<: *a\n"),
    *(
        "!!python/name:os",
        "!!binary x",
        "!!timestamp 2026-01-01",
        "!!set {a}",
        "!!float x",
        "!!bool x",
        "!!int ''",
        "%YAML 1.1\n",
    ),
    *("{", "}", "[", "]", "'", '"', "#", "%x%", "\\", "\x00", "\x85", "\u2028", "\ufeff", "\ud800", "é", "😀"),
    *("null", "~", "true", "yes", ".nan", ".inf", "-1", "1e999", "0x1", "2026-13-45", "9" * 400, "1:30:00"),
    *("not", "and", "or (", "of", "not " * 70, "(" * 300, "x" * 9000, "*", "?", "\\*", "(?=x)", "(a+)+$"),
)
"""What is put into texts of any language: pieces of YAML and of conditions, whole and broken."""
_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    5,
    -1,
    1.5,
    float("nan"),
    10**30,
    "",
    "*",
    "x" * 3000,
    [],
    {},
    [[]],
    [None],
    {"": None},
)
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]", re.ASCII)
_BROKEN_BYTES: Final = (
    b"\x00",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\r",
    b"\xef\xbb\xbf",
    b"\x1b",
)


class _Loader(yaml.CSafeLoader):
    """Takes `=` for a text, as Falco's files mean it."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))


class Source(NamedTuple):
    """A good text, and its documents."""

    text: str
    tree: list[Any]


class Corpus:
    """Texts of one language, taken apart once, and what is put into them."""

    def __init__(self, own: Sequence[str], others: Sequence[str], scraps: Sequence[str]) -> None:
        """Take texts; `own` hold one of everything and are picked as often as all others together."""
        self.own = [Source(text, list(yaml.load_all(text, _Loader))) for text in own]
        self.others = [Source(text, list(yaml.load_all(text, _Loader))) for text in others]
        self.scraps = (*SCRAPS, *scraps)
        self.tokens = sorted({token for source in self.sources for token in _TOKEN.findall(source.text)})

    @property
    def sources(self) -> list[Source]:
        """All texts."""
        return [*self.own, *self.others]

    def pick(self, random: Random) -> Source:
        """Pick a text."""
        return random.choice(self.others if self.others and random.random() < 0.5 else self.own)


class Mutant(NamedTuple):
    """A file gone wrong, and at which level."""

    level: str
    content: bytes


def mutants(seed: int, corpus: Corpus) -> Iterator[Mutant]:
    """Yield files with one to four changes each, the levels in turn, the same for the same seed, without end."""
    random = Random(seed)
    while True:
        for level, change in LEVELS.items():
            yield Mutant(level, change(random, corpus))


def _times(random: Random) -> range:
    return range(random.randrange(1, 5))


# --- bytes ------------------------------------------------------------------------------------------------------------
def _bytes_changed(random: Random, corpus: Corpus) -> bytes:
    content = bytearray(corpus.pick(random).text.encode())
    for _ in _times(random):
        at = random.randrange(len(content) + 1)
        match random.randrange(4):
            case 0 if at < len(content):
                content[at] ^= 1 << random.randrange(8)
            case 1:
                content[at:at] = random.choice(_BROKEN_BYTES)
            case 2:
                del content[at : at + random.randrange(1, 40)]
            case _:
                del content[at:]
    return bytes(content)


# --- lines ------------------------------------------------------------------------------------------------------------
def _lines_changed(random: Random, corpus: Corpus) -> bytes:
    lines = corpus.pick(random).text.split("\n")
    for _ in _times(random):
        if lines:
            random.choice(_LINE_CHANGES)(random, corpus, lines)
    return _encoded("\n".join(lines))


def _put(random: Random, corpus: Corpus, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    column = random.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:column] + random.choice(corpus.scraps) + lines[at][column:]


def _cut(random: Random, _: Corpus, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    start = random.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:start] + lines[at][start + random.randrange(1, 9) :]


def _drop(random: Random, _: Corpus, lines: list[str]) -> None:
    del lines[random.randrange(len(lines))]


def _repeat(random: Random, _: Corpus, lines: list[str]) -> None:
    lines.insert(random.randrange(len(lines)), random.choice(lines))


def _indent(random: Random, _: Corpus, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    lines[at] = lines[at].lstrip(" ") if random.random() < 0.3 else " " * random.randrange(1, 7) + lines[at]


def _value(random: Random, corpus: Corpus, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    key, colon, _ = lines[at].partition(":")
    lines[at] = f"{key}{colon} {random.choice(corpus.scraps)}"


def _key(random: Random, corpus: Corpus, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    key, colon, value = lines[at].partition(":")
    lines[at] = f"{key}{random.choice(corpus.scraps)}{colon}{value}"


def _nest(random: Random, _: Corpus, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    opening, closing = random.choice((("[", "]"), ("{a: ", "}")))
    depth = random.choice((2, 30, 99, 101, 5000))
    lines[at] = lines[at].partition(":")[0] + ": " + opening * depth + closing * depth


_LINE_CHANGES: Final = (_put, _put, _cut, _drop, _repeat, _indent, _value, _value, _key, _key, _nest)


# --- tokens -----------------------------------------------------------------------------------------------------------
def _tokens_changed(random: Random, corpus: Corpus) -> bytes:
    tokens = _TOKEN.findall(corpus.pick(random).text)
    for _ in _times(random):
        at = random.randrange(len(tokens))
        other = random.randrange(len(tokens))
        match random.randrange(5):
            case 0:
                tokens[at] = random.choice(corpus.tokens)
            case 1:
                tokens[at] = random.choice(corpus.scraps)
            case 2:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at] = ""
            case _:
                tokens[at] *= random.choice((2, 3, 40))
    return _encoded("".join(tokens))


# --- structure --------------------------------------------------------------------------------------------------------
def _structure_changed(random: Random, corpus: Corpus) -> bytes:
    documents: Any = _copied(corpus.pick(random).tree)
    for _ in _times(random):
        holders = [holder for holder in _holders(documents) if holder]
        if holders:
            _holder_changed(random, corpus, random.choice(holders))
    return _encoded(
        yaml.dump_all(documents, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, default_flow_style=None)
    )


def _holder_changed(random: Random, corpus: Corpus, holder: Any) -> None:
    key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match random.randrange(8):
        case 0:
            holder[key] = _copied(random.choice(_VALUES))
        case 1:
            holder[key] = random.choice(corpus.scraps).replace("\ud800", "")
        case 2:
            holder[key] = _copied(_any_value(random, corpus))
        case 3:
            holder[key] = [holder[key]]
        case 4:
            holder[key] = {random.choice(corpus.tokens): holder[key]}
        case 5 if isinstance(holder[key], dict | list) and holder[key]:
            inner = holder[key]
            holder[key] = random.choice(list(inner.values()) if isinstance(inner, dict) else inner)
        case 6:
            del holder[key]
        case _ if isinstance(holder, dict):
            holder[random.choice((*corpus.tokens[:50], *_keys(corpus, random)))] = holder.pop(key)
        case _:
            holder.extend(_copied(holder[key:]))


def _any_value(random: Random, corpus: Corpus) -> Any:
    holder = random.choice([holder for holder in _holders(corpus.pick(random).tree) if holder])
    return random.choice(list(holder.values()) if isinstance(holder, dict) else holder)


def _keys(corpus: Corpus, random: Random) -> list[str]:
    return [key for holder in _holders(corpus.pick(random).tree) if isinstance(holder, dict) for key in holder]


def _holders(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict | list):
        yield tree
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from _holders(inner)


def _copied(tree: Any) -> Any:
    """Copy a tree, with no part shared: YAML would write what is shared as an alias."""
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(value) for value in tree] if isinstance(tree, list) else tree


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


LEVELS: Final[dict[str, Callable[[Random, Corpus], bytes]]] = {
    "byte": _bytes_changed,
    "line": _lines_changed,
    "token": _tokens_changed,
    "structure": _structure_changed,
}
