"""Falco alerts as its JSON output writes them, straight from Falco or by way of falcosidekick or an agent.

Source: falcosecurity/falco 0.44, userspace/engine/formats.cpp and userspace/falco/falco_outputs.cpp. One object: time,
rule, priority, source, hostname, tags, output, output_fields; most can be switched off, the rule can't. Traps:
`evt.time` exceeds 2^53; values of `output_fields` may be null, numbers, lists or the string `<NA>`; drop counters are
strings or numbers; alerts of `source: internal` speak of Falco's own health.
"""
# ruff: noqa: ARG002 - the seam's signatures serve other formats too

from __future__ import annotations

import re
from typing import Any, Final

from collector.decoders._common.agent_line import decode_or_line
from collector.decoders._common.falco_facts import facts_of
from collector.decoders._common.falco_observed import observed_deed
from collector.decoders._common.json_decode import content_id, excerpt, loads_object
from collector.decoders._common.json_split import split_json
from collector.decoders._common.timestamps import TIME_NS_MAX, rfc3339_ns
from collector.decoders._common.values import items, table, text, texts, whole
from vedette.schema.errors import DecodeError
from vedette.schema.event import Document, Facts, LogSource, Loss, Nature
from vedette.schema.level import Level
from vedette.schema.observation import Observation
from vedette.schema.record import Piece
from vedette.schema.rule import RuleInfo

_LEVELS: Final = {
    "emergency": Level.CRITICAL,
    "alert": Level.CRITICAL,
    "critical": Level.CRITICAL,
    "error": Level.HIGH,
    "warning": Level.MEDIUM,
    "notice": Level.LOW,
    "informational": Level.INFORMATIONAL,
    "info": Level.INFORMATIONAL,
    "debug": Level.INFORMATIONAL,
}
_TECHNIQUE: Final = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII)
_INTERNAL: Final = "internal"
_INTERNAL_RULE: Final = "Falco internal: "
_DROPS_RULE: Final = "Falco internal: syscall event drop"
_DROPS_MAX: Final = 2**32
"""Drops that one alert may tell of; Falco does so each second. Larger numbers are no counts, and would spoil sums."""
_RULES_REMEMBERED: Final = 4096
"""Rule descriptions kept: Falco's rule files define some hundred; names are bounded by _REMEMBERED_CHARS_MAX."""
_REMEMBERED_CHARS_MAX: Final = 1024


class Falco:
    """The `falco` format.

    The document has the alert's own keys and, beside them, the entries of `output_fields`, so that a rule says
    `proc.cmdline` and `rule` alike; where both have a key the alert's own wins. `output_fields` itself stays.
    """

    name: str = "falco"
    logsources: tuple[LogSource, ...] = (
        LogSource("falco"),
        LogSource("falco", "syscall"),
        LogSource("falco", "k8s_audit"),
    )
    """All alerts belong to all of them: a rule tells Falco's sources apart by the field `source`."""
    dedup_by: tuple[str, ...] = (
        "hostname",
        "container.id",
        "k8s.ns.name",
        "k8s.pod.name",
        "proc.name",
        "ka.user.name",
        "ka.target.namespace",
    )
    """One alert for a rule in one container (or on one host) and one program; for audit rules, one user and namespace.
    The program, lest a noisy one hide another that trips the same rule; not its arguments, which never repeat."""
    head_fields: frozenset[str] | None = None
    plain: bool = False

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        """Cut lines, arrays and streams into alerts."""
        return split_json(body, context, record)

    def decode(self, payload: bytes, context: str) -> Document:
        """Decode one alert, or one that an agent wrapped as a line.

        Raises:
            DecodeError: not JSON (Falco's text output, say), or without a rule.
        """
        return decode_or_line(payload, _alert)

    def decode_all(self, payload: bytes, context: str) -> Document:
        """The same as `decode`.

        Raises:
            DecodeError: as there.
        """
        return self.decode(payload, context)

    def nature(self, head: Document) -> Nature:
        """HEALTH for what Falco says about itself; old versions wrote no source, then the rule's name tells."""
        return Nature.HEALTH if _is_internal(head) else Nature.EVENT

    def losses(self, head: Document) -> tuple[Loss, ...]:
        """System calls that the kernel side dropped, at least one where the number can't be read.

        The metrics snapshot repeats them, so it is not counted.
        """
        if head.get("rule") != _DROPS_RULE or not _is_internal(head):
            return ()
        dropped = table(head.get("output_fields")).get("n_drops")
        if dropped in (0, "0"):
            return ()
        return (Loss("falco_drops", whole(dropped, _DROPS_MAX) or 1),)

    def time_ns(self, head: Document) -> int:
        """`time`; else the field `evt.time` (whole nanoseconds), else `evt.time.iso8601` (those, or a timestamp)."""
        return (
            rfc3339_ns(head.get("time"))
            or whole(head.get("evt.time"), TIME_NS_MAX)
            or whole(head.get("evt.time.iso8601"), TIME_NS_MAX)
            or rfc3339_ns(head.get("evt.time.iso8601"))
        )

    def event_ids(self, head: Document) -> tuple[str, ...]:
        """The `uuid` that falcosidekick adds; Falco itself gives none."""
        uuid = head.get("uuid")
        return (uuid,) if isinstance(uuid, str) and uuid else ()

    def uid(self, payload: bytes, doc: Document) -> str:
        """Content id, over what Falco sends again unchanged; not `uuid`, which falcosidekick draws anew."""
        return content_id(payload, [doc.get("hostname"), doc.get("time"), doc.get("rule"), doc.get("output_fields")])

    def facts(self, doc: Document) -> Facts:
        """Normalise (see `falco_facts`)."""
        return facts_of(doc)

    def observe(self, payload: bytes, context: str, head: Document | None) -> Observation | None:
        """Tell what a container did (see `falco_observed`)."""
        if head is None:
            try:
                head = self.decode(payload, context)
            except DecodeError:
                return None
        return observed_deed(head, self.time_ns(head), internal=_is_internal(head))

    def finding(self, head: Document) -> RuleInfo | None:
        """The Falco rule that fired; None for Falco's own health."""
        if _is_internal(head):
            return None
        rule, priority, tags = head.get("rule"), head.get("priority"), items(head.get("tags"))
        key = (rule, priority, *tags)
        try:
            known = _described.get(key)
        except TypeError:  # something that can't be hashed
            return _describe(rule, priority, tags)
        return _remember(key, _describe(rule, priority, tags)) if known is None else known


def _alert(payload: bytes) -> Document:
    """Read one alert.

    Raises:
        DecodeError: it is none.
    """
    if payload[:1] != b"{" and payload.lstrip()[:1] != b"{":
        raise DecodeError("not a JSON object", f'in falco.yaml set "json_output: true"; got {excerpt(payload)}')
    alert = loads_object(payload)
    rule = alert.get("rule")
    if not rule or not isinstance(rule, str):
        raise DecodeError("no Falco rule", "an alert names its rule as a string")
    return table(alert.get("output_fields")) | alert


def _is_internal(head: Document) -> bool:
    source = head.get("source")
    if source is None:
        return text(head.get("rule")).startswith(_INTERNAL_RULE)
    return bool(source == _INTERNAL)


def _describe(rule: Any, priority: Any, tags: list[Any]) -> RuleInfo:
    name, known = text(rule), texts(tags)
    upper = (tag.upper() for tag in known)
    return RuleInfo(
        rule_id=f"falco:{name}",
        title=name,
        level=_LEVELS.get(text(priority).lower(), Level.MEDIUM),
        attack=tuple(tag for tag in upper if _TECHNIQUE.fullmatch(tag)),
        tags=known,
    )


_described: Final[dict[tuple[Any, ...], RuleInfo]] = {}


def _remember(key: tuple[Any, ...], info: RuleInfo) -> RuleInfo:
    """Keep a description for the next alert of the rule; begin anew when there are too many."""
    if all(isinstance(part, str) for part in key) and sum(map(len, key)) <= _REMEMBERED_CHARS_MAX:
        if len(_described) >= _RULES_REMEMBERED:
            _described.clear()
        _described[key] = info
    return info
