"""What an operator may say about the metrics endpoint."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from collector.sources.http.settings import TlsSettings

_LISTEN: Final = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")


class MetricsSettings(BaseModel):
    """The port that Prometheus scrapes (`/metrics`) and that a kubelet probes (`/healthz`, `/readyz`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    listen: str = "127.0.0.1:9466"
    """`host:port` to listen on; IPv6 in brackets (`[::]:9466`), no host means all, port 0 a free one; empty text
    switches the endpoint off. Default: 127.0.0.1:9466."""
    bearer_token: SecretStr | None = None
    """Token that scrapers of `/metrics` send as `Authorization: Bearer …`; without it, none is asked for. Default:
    none."""
    bearer_token_file: str | None = None
    """File that holds the token; instead of `bearer_token`. Default: none."""
    tls: TlsSettings | None = None
    """TLS of the port; without it, plain HTTP. Default: none."""
    connections_max: Annotated[int, Field(ge=1, le=4096)] = 64
    """Open connections; further ones are closed at once. Default: 64."""

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, listen: str) -> str:
        found = _LISTEN.fullmatch(listen)
        if listen and (found is None or int(found["port"]) > 65_535):  # noqa: PLR2004 - the largest port
            raise ValueError(
                "must be host:port with a port up to 65535, IPv6 in brackets: 127.0.0.1:9466 or [::]:9466; or empty"
            )
        return listen

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.bearer_token is not None and self.bearer_token_file is not None:
            raise ValueError("set bearer_token or bearer_token_file, not both")
        return self

    @property
    def address(self) -> tuple[str | None, int] | None:
        """Host (None: all) and port to bind; None if the endpoint is switched off."""
        if not self.listen:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]") or None, int(port)
