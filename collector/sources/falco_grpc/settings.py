"""What operators set for a `falco_grpc` source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

UNIX: Final = "unix://"
_SOCKET_PATH_BYTES_MAX: Final = 107
"""What Linux takes as the path of a socket (unix(7), sun_path)."""
_TCP: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", re.ASCII)
_PORT_MAX: Final = 65_535


class FalcoGrpcSettings(BaseModel):
    """Settings of a `falco_grpc` source."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    address: str = "unix:///run/falco/falco.sock"
    """Where Falco's gRPC server listens (its `grpc.bind_address`): `unix://` and the path of a socket, or `host:port`.
    Default: unix:///run/falco/falco.sock."""

    ca_file: Path | None = None
    """PEM file with the CAs that Falco's certificate may be signed by. Required with `host:port`."""
    client_cert_file: Path | None = None
    """PEM file with the certificate to log in with, followed by its intermediates. Required with `host:port`."""
    client_key_file: Path | None = None
    """PEM file with that certificate's private key, not encrypted. Required with `host:port`."""
    server_name: str = ""
    """Name that Falco's certificate must bear, if that is not the host of `address`. Default: the host."""

    method: Literal["sub", "get"] = "sub"
    """How alerts are asked for: `sub`, on one call that stays open, or `get`, with one call for each look. Default:
    sub."""
    poll_interval_s: Annotated[float, Field(ge=0.01, le=60)] = 0.2
    """Seconds between looks into Falco's queue; with `sub` too, since Falco looks when it is asked. Default: 0.2."""
    timeout_s: Annotated[float, Field(ge=0.5, le=300)] = 10.0
    """Seconds in which Falco has to answer. It is asked as often whether it is there, so that a connection that broke
    silently is noticed within twice this time. Default: 10."""

    @field_validator("address")
    @classmethod
    def _address_can_be_used(cls, address: str) -> str:
        if address.startswith(UNIX):
            path = address.removeprefix(UNIX)
            if not path.startswith("/") or "\0" in path or len(path.encode()) > _SOCKET_PATH_BYTES_MAX:
                limit = f"at most {_SOCKET_PATH_BYTES_MAX} bytes"
                raise ValueError(f"`unix://` is followed by an absolute path of {limit}: unix:///run/falco/falco.sock")
            return address
        found = _TCP.fullmatch(address)
        if not found or not 0 < int(found[1]) <= _PORT_MAX:
            raise ValueError("name a socket (unix:///run/falco/falco.sock), or a host and a port (falco.example:5060)")
        return address

    @model_validator(mode="after")
    def _tls_fits_the_address(self) -> Self:
        files = (self.ca_file, self.client_cert_file, self.client_key_file)
        if self.is_unix and (any(files) or self.server_name):
            raise ValueError("ca_file, client_cert_file, client_key_file and server_name are for `host:port`")
        if not self.is_unix and not all(files):
            raise ValueError("`host:port` needs ca_file, client_cert_file and client_key_file: Falco asks for them")
        return self

    @property
    def is_unix(self) -> bool:
        """Whether the address is a socket's path."""
        return self.address.startswith(UNIX)
