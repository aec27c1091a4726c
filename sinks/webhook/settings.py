"""What an operator may say about a webhook."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

BATCH_MAX: Final = 500
"""What delivery hands over at once."""
OWN_FIELDS: Final = frozenset({"accept-encoding", "connection", "content-length", "content-type", "host", "te"}) | {
    "idempotency-key",
    "transfer-encoding",
    "user-agent",
    "vedette-signature",
}
"""Header fields that the sink or HTTP itself decides about."""
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL: Final = re.compile(r"[!-~]+")


class WebhookSettings(BaseModel):
    """Any HTTP endpoint that takes JSON by POST."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    url: SecretStr | None = None
    """Where to post, `http://` or `https://`. Only host and port are ever shown, because the path of many webhooks is a
    secret. Default: none, and then `url_file` is required."""
    url_file: str | None = None
    """File that holds the address; instead of `url`. Default: none."""
    secret: SecretStr | None = None
    """Key of the signature in `Vedette-Signature`. Without it, nothing is signed. Default: none."""
    secret_file: str | None = None
    """File that holds the key; instead of `secret`. Default: none."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Further header fields by name, such as `Authorization`. Their values are not shown. Default: none."""
    header_files: dict[str, str] = Field(default_factory=dict)
    """Further header fields by name, each with the file that holds its value. Default: none."""
    ca_file: str | None = None
    """PEM file with the CAs that the server's certificate may be signed by. Default: those that the system trusts."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Seconds that one request may take, from connecting to the end of its answer. Default: 10."""
    batch: Annotated[int, Field(ge=1, le=BATCH_MAX)] = 1
    """1: each alert is a request of its own, a JSON object. More: JSON arrays of up to so many. Default: 1."""

    @field_validator("url")
    @classmethod
    def _url_is_plain_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_url(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or url_file, one of both")
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("set secret or secret_file, not both")
        names = [name.lower() for name in (*self.headers, *self.header_files)]
        if len(names) != len(set(names)):
            raise ValueError("a header field is there twice in headers and header_files")
        for name in names:
            if not _FIELD_NAME.fullmatch(name):
                raise ValueError("headers: a name is no name of a header field")
            if name in OWN_FIELDS:
                raise ValueError(f"headers: {name} is decided by the sink itself: leave it out")
        return self


def check_url(text: str) -> None:
    """Make sure that something can be posted to an address; nothing of it is shown.

    Raises:
        ValueError: why not.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and _URL.fullmatch(text)
    except ValueError as error:
        raise ValueError("must be http:// or https:// with a host and, if any, a port up to 65535") from error
    if not usable:
        raise ValueError("must be http:// or https:// with a host, in ASCII without blanks")
    if "@" in parts.netloc:
        raise ValueError("must hold no user and password: put them into `headers` as Authorization")
