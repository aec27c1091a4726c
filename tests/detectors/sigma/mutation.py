"""Rule files gone wrong: seeded changes to texts, from a flipped character to a key in the wrong place."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

SCRAPS: Final = (
    *(
        "",
        " ",
        "\t",
        "\n",
        "---\n",
        "...\n",
        "- ",
        ": ",
        "? ",
        "|",
        "|-\n",
        ">",
        "&a ",
        "*a",
        "<<: *a\n",
        "!!python/name:os",
    ),
    *("{", "}", "[", "]", "'", '"', "#", "%x%", "\\", "\x00", "\x85", "\u2028", "\ufeff", "\ud800", "é", "😀"),
    *("null", "~", "true", "yes", ".nan", ".inf", "-1", "1e999", "0x1", "2026-13-45", "9" * 400),
    *(
        "|re",
        "|re|i",
        "|cidr",
        "|base64",
        "|wide|base64offset|contains",
        "|windash",
        "|expand",
        "|fieldref",
        "|gt",
        "|gte",
    ),
    *("|exists", "|all", "|neq", "|cased", "|utf16le", "|hour", "|year|lt", "|nope", "||", "|contains|contains"),
    *("(?=x)", "(a+)+$", "[", "*", "?", "\\*", "1 of them", "all of x*", "not", "and", "or (", "of", "1 of", "near"),
    *("| count() > 5", "not " * 70, "(" * 300, "x" * 9000),
    *(
        "detection:",
        "condition:",
        "logsource:",
        "filter:",
        "correlation:",
        "transformations:",
        "vedette:",
        "action: global",
    ),
    *("title:", "id: 5", "id: ''", "rules: any", "related: [{}]", "tags: [attack.t1]", "level: loud", "status: 3"),
)
"""What is put into texts: pieces of YAML and of Sigma, whole and broken."""
Mutation = Callable[[Random, list[str]], None]


def _put(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    column = random.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:column] + random.choice(SCRAPS) + lines[at][column:]


def _cut(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    start = random.randrange(len(lines[at]) + 1)
    lines[at] = lines[at][:start] + lines[at][start + random.randrange(1, 9) :]


def _drop(random: Random, lines: list[str]) -> None:
    del lines[random.randrange(len(lines))]


def _repeat(random: Random, lines: list[str]) -> None:
    lines.insert(random.randrange(len(lines)), random.choice(lines))


def _indent(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    lines[at] = lines[at].lstrip(" ") if random.random() < 0.3 else " " * random.randrange(1, 7) + lines[at]


def _value(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    key, colon, _ = lines[at].partition(":")
    lines[at] = f"{key}{colon} {random.choice(SCRAPS)}"


def _key(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    key, colon, value = lines[at].partition(":")
    lines[at] = f"{key}{random.choice(SCRAPS)}{colon}{value}"


def _nest(random: Random, lines: list[str]) -> None:
    at = random.randrange(len(lines))
    opening, closing = random.choice((("[", "]"), ("{a: ", "}")))
    depth = random.choice((2, 30, 99, 101, 5000))
    lines[at] = lines[at].partition(":")[0] + ": " + opening * depth + closing * depth


MUTATIONS: Final[tuple[Mutation, ...]] = (_put, _put, _cut, _drop, _repeat, _indent, _value, _value, _key, _key, _nest)


def mutated(seed: int, texts: list[str]) -> Iterator[str]:
    """Yield texts with one to four changes each, the same for the same seed, without end."""
    random = Random(seed)
    while True:
        lines = random.choice(texts).split("\n")
        for _ in range(random.randrange(1, 5)):
            if lines:
                random.choice(MUTATIONS)(random, lines)
        yield "\n".join(lines)
