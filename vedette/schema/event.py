"""The decoded event, and the seam that every wire format fills: `Decoder`.

An event is decoded in two steps, because most events match nothing: `head` holds the cheap part (for audit events
everything but the request and response bodies), `doc` the whole document, decoded when somebody first asks. Facts about
who, what and where (`Facts`) are computed for findings only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from vedette.schema.errors import DecodeError
from vedette.schema.limits import FUTURE_NS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.schema.record import Piece, Record
    from vedette.schema.rule import RuleInfo

Document = dict[str, Any]
"""A decoded JSON object with its native field names."""


class Nature(IntEnum):
    """What a well-formed record is to detection."""

    EVENT = 0
    """Rules look at it."""
    HEALTH = 1
    """Telemetry of the sensor itself (Falco's `source: internal`): counted as processed, never an alert."""
    EMPTY = 2
    """Carries no event (VPC `NODATA`, `SKIPDATA`): counted as filtered."""


class LogSource(NamedTuple):
    """A Sigma log source triple; `None` leaves that attribute open."""

    product: str | None = None
    service: str | None = None
    category: str | None = None


class Loss(NamedTuple):
    """A loss that a source itself reports: `kind` is a constant (`falco_drops`), `lost` how many records (events)."""

    kind: str
    lost: int


class Facts(msgspec.Struct, omit_defaults=True):
    """Who, what, where of one event, in one shape for all sources (normalised; computed for findings only).

    All strings are the source's word and may be hostile. `groups` and `sources` are bounded by the decoder.
    """

    actor: str = ""
    """User name, service account or (Falco) the process's user."""
    actor_real: str = ""
    """The authenticated user where `actor` was impersonated."""
    groups: tuple[str, ...] = ()
    """Groups of the authenticated user."""
    credential: str = ""
    """Id of the credential used (`JTI=…`, `X509SHA256=…`)."""
    user_agent: str = ""
    """What the client calls itself."""
    action: str = ""
    """Verb, system call or flow action."""
    outcome: str = "unknown"
    """allow, deny, success, failure or unknown."""
    status_code: int = 0
    """HTTP status of the answer."""
    resource: str = ""
    """`pods/exec`, `secrets`, …"""
    api_group: str = ""
    """API group of the resource; absent for the core group."""
    namespace: str = ""
    """Namespace of the target."""
    name: str = ""
    """Name of the target object."""
    pod: str = ""
    """Pod that it happened in, or to."""
    container: str = ""
    """Name of the container."""
    container_id: str = ""
    """Id of the container, as the runtime shortens it."""
    workload_kind: str = ""
    """Kind of the workload, where the source names it."""
    workload: str = ""
    """Name of the workload, where the source names it."""
    images: tuple[str, ...] = ()
    """References of container images."""
    node: str = ""
    """Node that it happened on."""
    process: str = ""
    """Name of the program."""
    command: str = ""
    """Command line."""
    sources: tuple[str, ...] = ()
    """Source addresses; the last one is the peer that our sensor saw, the others are the client's word."""
    source_port: int = 0
    """Port of the peer."""
    destinations: tuple[str, ...] = ()
    """Addresses or names that it went to."""
    destination_port: int = 0
    """Port that it went to."""
    protocol: str = ""
    """Transport protocol, such as `tcp`."""
    bytes_count: int = 0
    """Bytes of the flow."""
    incomplete: tuple[str, ...] = ()
    """What is known to be missing: `truncated`, `unresolved`."""


class Decoder(Protocol):
    """One wire format: bytes in, documents out. Pure and stateless; one instance serves a whole process."""

    name: str
    """The format's name: its module's, its path in `/intake/<format>`, the value of `--source`."""
    logsources: tuple[LogSource, ...]
    """The Sigma log sources that its events belong to."""
    dedup_by: tuple[str, ...]
    """Fields of the dedup key where a rule names none."""
    head_fields: frozenset[str] | None
    """Top-level keys that `head` carries; None: head and doc are the same. No other top-level key of a document begins
    with one of them and a dot, so a dotted name reads the same on both."""
    plain: bool
    """Whether every record is an event for the rules that reports neither losses nor a rule: nothing else is asked."""

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        """Cut a body, or a stretch of whole lines of a file, into records without decoding them. Never raises.

        What can't be cut is handed on as one record, for `decode` to refuse with the reason. `context` is what the last
        stretch of the same origin ended with (or the configured one), `record` the number of the first record.
        """
        ...

    def decode(self, payload: bytes, context: str) -> Document:
        """Decode the head of one record.

        Raises:
            DecodeError: the record is not of this format.
        """
        ...

    def decode_all(self, payload: bytes, context: str) -> Document:
        """Decode the whole of one record.

        Raises:
            DecodeError: the record is not of this format.
        """
        ...

    def nature(self, head: Document) -> Nature:
        """Say what the record is to detection."""
        ...

    def losses(self, head: Document) -> tuple[Loss, ...]:
        """Losses that the source reports in this record."""
        ...

    def time_ns(self, head: Document) -> int:
        """The event's own time, ns since the epoch; 0 if it has none that can be read."""
        ...

    def event_ids(self, head: Document) -> tuple[str, ...]:
        """The source's own ids of the event (auditID …), possibly none."""
        ...

    def uid(self, payload: bytes, doc: Document) -> str:
        """Content id: a hex digest over all that the source would send again unchanged."""
        ...

    def facts(self, doc: Document) -> Facts:
        """Normalise the whole document."""
        ...

    def finding(self, head: Document) -> RuleInfo | None:
        """The rule that the record itself reports a match of (a Falco alert), None for plain events."""
        ...


T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - reads like `property`
    """An attribute computed when first asked for. `functools.cached_property` takes a lock each time, until 3.12."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        """Compute by calling `compute` on the object."""
        self._compute = compute
        self._name = compute.__name__

    def __get__(self, instance: Any, owner: type) -> T:
        """Compute, and let the instance answer from now on."""
        value = self._compute(instance)
        instance.__dict__[self._name] = value
        return value


class Event:
    """A decoded record on its way through detection. Not frozen: what is costly is computed once, when asked for."""

    def __init__(self, record: Record, decoder: Decoder, head: Document) -> None:
        """Wrap what the decoder made of a record."""
        self.record = record
        self.decoder = decoder
        self.head = head
        self.broken: DecodeError | None = None

    @lazy
    def doc(self) -> Document:
        """The whole document; where the rest is broken, the head alone, and `broken` says why.

        So a broken body can't hide an event from the rules that look at its head.
        """
        if self.decoder.head_fields is None:
            return self.head
        try:
            return self.decoder.decode_all(self.record.payload, self.record.run.context)
        except DecodeError as error:
            self.broken = error
            return self.head

    @lazy
    def time_ns(self) -> int:
        """Event time, clamped to shortly after arrival; arrival where the event has none."""
        arrival = self.record.arrival_ns
        return min(self.decoder.time_ns(self.head) or arrival, arrival + FUTURE_NS_MAX)

    @lazy
    def event_ids(self) -> tuple[str, ...]:
        """The source's own ids."""
        return self.decoder.event_ids(self.head)

    @lazy
    def uid(self) -> str:
        """Content id."""
        return self.decoder.uid(self.record.payload, self.doc)

    @lazy
    def facts(self) -> Facts:
        """Normalised facts."""
        return self.decoder.facts(self.doc)
