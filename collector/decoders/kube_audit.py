"""Kubernetes audit events (`audit.k8s.io/v1`, `v1beta1`), from the log backend, the webhook backend or an agent.

Source: k8s.io/apiserver, pkg/apis/audit/v1/types.go. Traps: of `sourceIPs` all but the last are the client's word; the
client may choose `auditID`; `impersonatedUser` is who acted, `user` who authenticated; the command of an exec stands in
`requestURI` alone; a rejected token leaves `user: {}` and only the stage ResponseStarted.
"""
# ruff: noqa: ARG002 - the seam's signatures serve other formats too

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypedDict, TypeVar, cast

import msgspec

from collector.decoders._common.agent_line import AGENT_KEYS, decode_or_line
from collector.decoders._common.json_blank import blank_members
from collector.decoders._common.json_decode import TOO_DEEP, content_id, is_shallow, loads_object, skips_safely
from collector.decoders._common.json_split import REFUSALS, Envelope, split_json
from collector.decoders._common.kube_facts import facts_of
from collector.decoders._common.kube_observed import observed_call
from collector.decoders._common.outline import field_apart, outline_struct
from collector.decoders._common.timestamps import rfc3339_ns
from vedette.schema.errors import DecodeError
from vedette.schema.event import Document, Facts, LogSource, Loss, Nature
from vedette.schema.limits import ITEM_BYTES_MAX
from vedette.schema.observation import Observation
from vedette.schema.outline import Outline
from vedette.schema.record import Piece
from vedette.schema.rule import RuleInfo

T = TypeVar("T")

_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_User = dict[str, str | list[str] | dict[str, list[str]]]
_Status = dict[str, str | _Integer | dict[str, str | _Integer | list[dict[str, str]]]]


class _Head(TypedDict, total=False):
    """The event as the API's types have it, without the two bodies: most of the bytes are only skipped over."""

    kind: str
    apiVersion: str
    level: str
    auditID: str
    stage: str
    requestURI: str
    verb: str
    user: _User
    impersonatedUser: _User
    authenticationMetadata: dict[str, str]
    sourceIPs: list[str]
    userAgent: str
    objectRef: dict[str, str]
    responseStatus: _Status
    requestReceivedTimestamp: str
    stageTimestamp: str
    timestamp: str
    annotations: dict[str, str]


class _EventList(msgspec.Struct):
    kind: str = ""
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_HEAD_FIELDS: Final = frozenset(_Head.__annotations__)
_TELLING: Final = frozenset({"auditID", "stage", "verb", "requestURI", "user"})
"""Fields of which at least one makes an object without `kind` and `apiVersion` (an item of a list) an audit event."""
_NOT_CONTENT: Final = AGENT_KEYS | {"kind", "apiVersion", "time"}
"""The envelope's word, which log and webhook differ in, and what an agent adds; `time` is the container runtime's."""

_decode_list: Final = msgspec.json.Decoder(_EventList).decode

_Texts = tuple[str, ...]
_OUTLINED: Final[Mapping[str, Any]] = {
    "level": str,
    "verb": str,
    "stage": str,
    "userAgent": str,
    "sourceIPs": _Texts,
    "user.username": str,
    "user.groups": _Texts,
    "impersonatedUser.username": str,
    "impersonatedUser.groups": _Texts,
    "objectRef.resource": str,
    "objectRef.subresource": str,
    "objectRef.namespace": str,
    "objectRef.apiGroup": str,
    "objectRef.apiVersion": str,
    "responseStatus.code": _Integer,
    "responseStatus.status": str,
    "responseStatus.reason": str,
    "responseStatus.message": str,
}
"""Fields that an outline may hold beside annotations, with their types: what most events of a cluster share with
others, not names of objects, request URIs, ids and times."""
_ANNOTATIONS: Final = "annotations."
_URI: Final = "requestURI"
_ENVELOPE_TYPES: Final = {
    "kind": Literal["Event"],
    "apiVersion": Literal["audit.k8s.io/v1", "audit.k8s.io/v1beta1"],
}
"""With them, and with a stage, an object is an audit event (`_require_event`)."""

_BODY: Final = re.compile(rb'"(?:requestObject|responseObject)"\s*+:\s*+')
_OPENING: Final = re.compile(
    rb'\{\s*+(?:"[^"\\]*+"\s*+:\s*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[-+.\w]++|\{[^{}]*+\})\s*+,\s*+)*?"items"\s*+:\s*+\['
)


def _list_items(text: bytes) -> list[bytes] | None:
    """The events of an EventList, as they stand there."""
    try:
        found = _decode_list(text)
    except REFUSALS:
        return None
    if found.kind != "EventList" or isinstance(found.items, msgspec.UnsetType):
        return None
    return [bytes(raw) for raw in found.items or ()]


def _list_opening(text: bytes, at: int) -> int:
    """Where the items of a (perhaps broken) EventList begin; members with `kind` may come after them."""
    match = _OPENING.match(text, at)
    if match is None or not (b'"EventList"' in match.group() or b"audit.k8s.io/" in match.group()):
        return -1
    return match.end()


_ENVELOPE: Final = Envelope(b'"EventList"', _list_items, _list_opening)


def _require_event(doc: Document) -> None:
    """Refuse what is no audit event: another API's `Event`, an EventList inside a record, anything else.

    Raises:
        DecodeError: always with the same reason.
    """
    kind, version = doc.get("kind"), doc.get("apiVersion")
    if kind is None and version is None and "auditID" in doc:  # an item of an EventList: the usual case
        return
    ours = version is None or (isinstance(version, str) and version.startswith("audit.k8s.io/"))
    if kind not in (None, "Event") or not ours or _TELLING.isdisjoint(doc):
        raise DecodeError("not an audit event", f"kind {kind!r:.60}, apiVersion {version!r:.60}")


def _whole_or_bodiless(payload: bytes) -> Document:
    """The event, without its bodies where they nest so deep that they would hide it: a client may patch with anything.

    Raises:
        DecodeError: it can't be decoded even so.
    """
    try:
        return loads_object(payload)
    except DecodeError as error:
        if error.reason != TOO_DEEP:
            raise
        return loads_object(blank_members(payload, _BODY))


def _reader(decode: Callable[[bytes], T]) -> Callable[[bytes], T | None]:
    """Return what makes of a record what msgspec does where it has the API's types (in practice always), else None."""

    def read(payload: bytes) -> T | None:
        if not skips_safely(payload) and (len(payload) > ITEM_BYTES_MAX or not is_shallow(payload)):
            return None
        try:
            if not payload.isascii():
                payload.decode()  # what is skipped is not checked by msgspec
            return decode(payload)
        except REFUSALS:
            return None

    return read


_typed_head: Final = _reader(msgspec.json.Decoder(_Head).decode)


def _head_of(payload: bytes) -> Document:
    head = cast("Document | None", _typed_head(payload))
    if head is None:  # an unusual type somewhere, or nothing good at all: the full decoder knows
        head = {key: value for key, value in _whole_or_bodiless(payload).items() if key in _HEAD_FIELDS}
    _require_event(head)
    return head


def _event_of(payload: bytes) -> Document:
    doc = loads_object(payload)
    _require_event(doc)
    return doc


class KubeAudit:
    """The `kube_audit` format."""

    name: str = "kube_audit"
    logsources: tuple[LogSource, ...] = (LogSource("kubernetes", "audit", "application"),)
    """SigmaHQ writes all three; a rule may leave any of them out."""
    dedup_by: tuple[str, ...] = ("user.username", "objectRef.namespace")
    """One alert for what one authenticated identity does in one namespace. Not the object: its names are the actor's
    choice. Not the address or user agent: both can be forged, so each could open an alert of its own."""
    head_fields: frozenset[str] | None = _HEAD_FIELDS
    plain: bool = True
    outlined: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "actor": ("user.username",),
            "node": ("user.username",),
            "verb": ("verb",),
            "resource": ("objectRef.resource", "objectRef.subresource"),
            "api_group": ("objectRef.apiGroup",),
            "namespace": ("objectRef.namespace",),
            "code": ("responseStatus.code",),
            "address": ("sourceIPs",),
            "user_agent": ("userAgent",),
        }
    )
    """See `detectors.behaviour.interest`; `node` as far as it is a kubelet's."""

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        """Cut lines, arrays, streams and EventLists (alone, in lines or in an array) into events."""
        return split_json(body, context, record, _ENVELOPE)

    def decode(self, payload: bytes, context: str) -> Document:
        """Decode all but the two bodies, of an event or of one that an agent wrapped as a line.

        The bodies are skipped, so a number in them that no double can hold is only found by `decode_all`.

        Raises:
            DecodeError: not an audit event.
        """
        return decode_or_line(payload, _head_of)

    def decode_all(self, payload: bytes, context: str) -> Document:
        """Decode the whole event, with the fields that we do not know.

        Raises:
            DecodeError: not an audit event.
        """
        return decode_or_line(payload, _event_of)

    def outline(self, fields: Collection[str]) -> Outline:
        """Outline of the fields that many events share (see `_OUTLINED`), and of the URI apart."""
        types = {field: _OUTLINED[field] for field in fields if field in _OUTLINED}
        types |= {field: str for field in fields if field.startswith(_ANNOTATIONS)}
        apart = {_URI: str} if _URI in fields else {}
        struct = outline_struct(types | _ENVELOPE_TYPES | apart, {"stage": str})
        read = _reader(msgspec.json.Decoder(struct).decode)
        return Outline(frozenset(types), read, field_apart(struct, _URI) if apart else None)

    def nature(self, head: Document) -> Nature:
        """Every audit event is for the rules to look at."""
        return Nature.EVENT

    def losses(self, head: Document) -> tuple[Loss, ...]:
        """None: the API server tells of lost events in its metrics alone."""
        return ()

    def time_ns(self, head: Document) -> int:
        """When this stage was reached; else when the request came; else v1beta1's `timestamp`."""
        return (
            rfc3339_ns(head.get("stageTimestamp"))
            or rfc3339_ns(head.get("requestReceivedTimestamp"))
            or rfc3339_ns(head.get("timestamp"))
        )

    def event_ids(self, head: Document) -> tuple[str, ...]:
        """The audit ID: for people and tools, not for identity, because a client may choose and repeat it."""
        audit_id = head.get("auditID")
        return (audit_id,) if isinstance(audit_id, str) and audit_id else ()

    def uid(self, payload: bytes, doc: Document) -> str:
        """Content id, the same for the log's line and the webhook's item."""
        return content_id(payload, {key: value for key, value in doc.items() if key not in _NOT_CONTENT})

    def facts(self, doc: Document) -> Facts:
        """Normalise (see `kube_facts`)."""
        return facts_of(doc)

    def observe(self, payload: bytes, context: str, head: Document | None) -> Observation | None:
        """Tell who called what (see `kube_observed`)."""
        return observed_call(payload, head)

    def finding(self, head: Document) -> RuleInfo | None:
        """None: an audit event reports no rule."""
        return None
