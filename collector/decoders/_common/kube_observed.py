"""What a Kubernetes audit event shows of somebody's behaviour, read without decoding the rest of it.

A request is told when it was answered. Of requests that stay open (exec, attach, port-forward, watch) that is the stage
ResponseStarted, and a rejected token has no other stage; the same request's end is told as well, since a policy may
omit either stage.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from collector.decoders._common.timestamps import rfc3339_ns
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.observation import Kind, Observation

_RECEIVED: Final = "RequestReceived"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_POD: Final = "authentication.kubernetes.io/pod-name"
_NODE: Final = "authentication.kubernetes.io/node-name"
_NODE_USER: Final = "system:node:"
_DENIALS: Final = (401, 403)
_FIRST_ERROR: Final = 400
_Strings = dict[str, list[str]]


class _User(msgspec.Struct, gc=False):
    username: str = ""
    extra: _Strings | None = None


class _Reference(msgspec.Struct, gc=False):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = msgspec.field(default="", name="apiGroup")


class _Status(msgspec.Struct, gc=False):
    code: int = 0


class ObservedCall(msgspec.Struct, gc=False, rename="camel"):
    """The members of an audit event that behaviour looks at."""

    stage: str = ""
    verb: str = ""
    request_uri: str = msgspec.field(default="", name="requestURI")
    user: _User | None = None
    source_ips: list[str] | None = msgspec.field(default=None, name="sourceIPs")
    user_agent: str = ""
    object_ref: _Reference | None = None
    response_status: _Status | None = None
    stage_timestamp: str = ""
    request_received_timestamp: str = ""


_NOBODY: Final = _User()
_NO_OBJECT: Final = _Reference()
_decode: Final = msgspec.json.Decoder(ObservedCall).decode


def observed_call(payload: bytes, head: dict[str, Any] | None) -> Observation | None:
    """Tell what an event shows; None for one that is only received, or that can't be read like this."""
    try:
        call = _decode(payload) if head is None else _of_head(payload, head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if call.stage == _RECEIVED else _observation(call)


def _of_head(payload: bytes, head: dict[str, Any]) -> ObservedCall:
    """Read the event itself where it is one, else (an agent's line) what was decoded of it."""
    call = _decode(payload)
    return call if call.stage else msgspec.convert(head, ObservedCall)


def _observation(call: ObservedCall) -> Observation:
    user, target = call.user or _NOBODY, call.object_ref or _NO_OBJECT
    extra, name = user.extra, user.username[:TEXT_CHARS_MAX]
    code = call.response_status.code if call.response_status else 0
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    seen = Observation(
        Kind.CALL,
        rfc3339_ns(call.stage_timestamp) or rfc3339_ns(call.request_received_timestamp),
        actor=name,
        user_agent=call.user_agent[:TEXT_CHARS_MAX],
        address=call.source_ips[-1][:TEXT_CHARS_MAX] if call.source_ips else "",
        verb=call.verb[:TEXT_CHARS_MAX],
        resource=(resource or call.request_uri.partition("?")[0])[:TEXT_CHARS_MAX],
        api_group=target.api_group[:TEXT_CHARS_MAX],
        name=target.name[:TEXT_CHARS_MAX],
        namespace=target.namespace[:TEXT_CHARS_MAX],
        code=code,
        outcome="deny" if code in _DENIALS else "failure" if code >= _FIRST_ERROR else "allow",
    )
    if extra:
        seen.credential = _first(extra, _CREDENTIAL)
        seen.pod = _first(extra, _POD)
        seen.node = _first(extra, _NODE)
    if name.startswith(_NODE_USER):
        seen.node = name.removeprefix(_NODE_USER)
    return seen


def _first(extra: _Strings, key: str) -> str:
    values = extra.get(key)
    return values[0][:TEXT_CHARS_MAX] if values else ""
