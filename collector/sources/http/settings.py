"""What an operator may say about an HTTP port. Each field states its unit; JSON Schema and docs are made from this."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from vedette.schema.limits import BODY_BYTES_MAX, IN_FLIGHT_BYTES_MAX, KIB

ANY_FORMAT: Final = "*"
"""The format of a route that serves every format by its own name."""
RESERVED_PATHS: Final = ("/healthz", "/ping")
"""Answered by the port itself, without authentication."""
_PATH: Final = re.compile(r"/[!$&-;=@-~]*")
_LISTEN: Final = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")

AnswerMode = Literal["wait", "retry_after"]
"""What a client hears while the journal can't be written: nothing yet, or 429 with Retry-After."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RouteSettings(_Settings):
    """One path and what its bodies are."""

    format: str = Field(description="Name of the wire format of the bodies; `*` on a path that ends in `/*`.")
    context: str = Field(
        default="", description="What the format must know beside the bytes, such as the field order of VPC flow logs."
    )
    answer: AnswerMode | None = Field(
        default=None,
        description=(
            "While records can't be stored: `wait` holds the answer up to `patience_s`, then says 503 (for clients "
            "that ignore the status); `retry_after` says 429 with Retry-After at once. Default: `wait` for falco, "
            "`retry_after` for all others."
        ),
    )

    @property
    def waits(self) -> bool:
        """Whether the answer is held while records can't be stored."""
        return (self.answer or ("wait" if self.format == "falco" else "retry_after")) == "wait"


def _as_route(value: Any) -> Any:
    return {"format": value} if isinstance(value, str) else value


Route = Annotated[RouteSettings, BeforeValidator(_as_route, json_schema_input_type=str | RouteSettings)]


class TlsSettings(_Settings):
    """TLS of the port. Certificate files are read again when they change."""

    cert_file: str = Field(description="PEM file with the server's certificate, followed by its intermediates.")
    key_file: str = Field(description="PEM file with the certificate's private key, not encrypted.")
    client_ca_file: str | None = Field(
        default=None,
        description="PEM file with CAs. If set, clients must present a certificate signed by one of them.",
    )
    version_min: Literal["1.2", "1.3"] = Field(default="1.2", description="Lowest TLS version that is accepted.")


class HttpSettings(_Settings):
    """An HTTP port that takes records by POST."""

    listen: str = Field(
        default="127.0.0.1:2801",
        description="`host:port` to listen on; IPv6 in brackets (`[::]:2801`), no host means all, port 0 a free one.",
    )
    routes: dict[str, Route] = Field(
        default={
            "/": RouteSettings(format="falco"),
            "/k8s-audit": RouteSettings(format="kube_audit"),
            "/intake/*": RouteSettings(format=ANY_FORMAT),
        },
        description=(
            "Paths and the format of what is posted there, or an object with `format`, `context` and `answer`. "
            "`/intake/*: '*'` serves each known format as `/intake/<format>`. Query strings are ignored."
        ),
        min_length=1,
    )
    tls: TlsSettings | None = Field(default=None, description="TLS of the port; without it, plain HTTP.")
    bearer_token: SecretStr | None = Field(
        default=None, description="Token that clients send as `Authorization: Bearer …`; without it, none is asked for."
    )
    bearer_token_file: str | None = Field(
        default=None, description="File that holds the token; instead of `bearer_token`."
    )
    patience_s: float = Field(
        default=10, ge=0, le=300, description="Seconds that `wait` holds an answer while records can't be stored."
    )
    deduplicate: bool = Field(
        default=True, description="Whether records that a client sends again are recognised and stored once."
    )
    body_bytes_max: int = Field(
        default=BODY_BYTES_MAX,
        ge=KIB,
        le=BODY_BYTES_MAX,
        description="Bytes of one body, also after decompression; larger ones are answered 413.",
    )
    reading_bytes_max: int = Field(
        default=2 * BODY_BYTES_MAX,
        ge=KIB,
        le=IN_FLIGHT_BYTES_MAX,
        description="Bytes of bodies that may be arriving at one time, over all connections of this port.",
    )
    header_bytes_max: int = Field(
        default=32 * KIB,
        ge=KIB,
        le=1024 * KIB,
        description="Bytes of one request's head; what is longer is answered 431 (up to twice that may be read first).",
    )
    header_timeout_s: float = Field(
        default=10, gt=0, le=3600, description="Seconds that the head of a request (and a TLS handshake) may take."
    )
    body_timeout_s: float = Field(default=60, gt=0, le=3600, description="Seconds that the whole body may take.")
    body_bytes_per_s_min: int = Field(
        default=KIB,
        ge=0,
        description="Mean bytes per second that a body must arrive with, looked at after `header_timeout_s`; 0: any.",
    )
    idle_timeout_s: float = Field(
        default=120, gt=0, le=86_400, description="Seconds that a connection may stay open between requests."
    )
    connections_max: int = Field(
        default=1024, ge=1, le=65_536, description="Open connections; further ones are answered 503 and closed."
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, listen: str) -> str:
        found = _LISTEN.fullmatch(listen)
        if found is None or int(found["port"]) > 65_535:  # noqa: PLR2004 - the largest port
            raise ValueError("must be host:port with a port up to 65535, IPv6 in brackets: 127.0.0.1:2801 or [::]:2801")
        return listen

    @field_validator("routes")
    @classmethod
    def _routes_are_paths(cls, routes: dict[str, RouteSettings]) -> dict[str, RouteSettings]:
        for path, route in routes.items():
            if not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is no path: begin it with / and leave out spaces, %, ? and #")
            if path in RESERVED_PATHS:
                raise ValueError(f"{path!r} is answered by the port itself: choose another path")
            if path.endswith("/*") != (route.format == ANY_FORMAT) or "*" in path.removesuffix("/*"):
                raise ValueError(
                    f"{path!r}: a path that ends in /* goes with the format '*', and no other path has a *"
                )
            if route.format == ANY_FORMAT and (route.context or route.answer):
                raise ValueError(f"{path!r}: context and answer need a path of their own, with one format")
        return routes

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.bearer_token is not None and self.bearer_token_file is not None:
            raise ValueError("set bearer_token or bearer_token_file, not both")
        if self.body_bytes_max > self.reading_bytes_max:
            raise ValueError("reading_bytes_max must be at least body_bytes_max: one body must fit")
        return self

    @property
    def address(self) -> tuple[str | None, int]:
        """Host (None: all) and port to bind."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]") or None, int(port)
