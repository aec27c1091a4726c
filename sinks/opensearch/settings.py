"""What an operator may say about an OpenSearch, and the secrets and certificates that the settings name."""

from __future__ import annotations

import contextlib
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from vedette.schema.errors import ConfigError
from vedette.schema.limits import EVIDENCE_BYTES_MAX, ITEM_BYTES_MAX, KIB, MIB

_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
"""What OpenSearch takes as the beginning of an index name (MetadataCreateIndexService.validateIndexOrAliasName)."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Urls = Annotated[
    tuple[str, ...], Field(min_length=1), BeforeValidator(_as_list, json_schema_input_type=str | list[str])
]


class OpenSearchSettings(BaseModel):
    """OpenSearch 2.x or 3.x: one document for each alert, in an index for each day."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    url: Urls = ("https://127.0.0.1:9200",)
    """Address of the server, or a list with those of several nodes of one cluster. Default: https://127.0.0.1:9200."""
    username: str = ""
    """Who logs in, by HTTP basic authentication; without it, nobody does. Default: none."""
    password: SecretStr | None = None
    """Password of `username`. Default: none."""
    password_file: Path | None = None
    """File that holds the password, relative to the data folder; instead of `password`. Default: none."""
    ca_file: Path | None = None
    """PEM file with the CAs that the server's certificate may be signed by. Default: those of the system."""
    client_cert_file: Path | None = None
    """PEM file with a certificate to log in with, followed by its intermediates. Default: none."""
    client_key_file: Path | None = None
    """PEM file with that certificate's private key, not encrypted. Default: none."""
    index_prefix: str = "vedette"
    """Beginning of the names of indices and templates: `vedette-alerts-2026.11.21`. Default: vedette."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds that one request may take, from the connection to the last byte of its answer. Default: 30."""
    bulk_bytes_max: Annotated[int, Field(ge=64 * KIB, le=64 * MIB)] = 8 * MIB
    """Bytes of one bulk request; a single larger document goes alone. Default: 8388608."""
    compress: bool = False
    """Whether requests are compressed (gzip): less network, some 1 µs more CPU per KB. Default: false."""
    manage_template: bool = True
    """Whether the sink installs and updates its index templates. Otherwise they are yours to install. Default: true."""
    shards: Annotated[int, Field(ge=1, le=1024)] = 1
    """Primary shards of a day's index. Default: 1."""
    replicas: Annotated[int, Field(ge=0, le=32)] | None = None
    """Copies of each shard. Default: one as soon as there is a second node."""
    original_bytes_max: Annotated[int, Field(ge=0, le=ITEM_BYTES_MAX)] = EVIDENCE_BYTES_MAX
    """Bytes of an event's record as received that `event.original` keeps, from its beginning. Default: 16384."""

    @field_validator("url")
    @classmethod
    def _urls_are_plain(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            _check_url(url)
        return urls

    @field_validator("index_prefix")
    @classmethod
    def _prefix_begins_a_name(cls, prefix: str) -> str:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("use small letters, digits, `-`, `_` and `.`, beginning with a letter or a digit")
        return prefix

    @model_validator(mode="after")
    def _secrets_are_paired(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("set password or password_file, not both")
        if bool(self.username) != (self.password is not None or self.password_file is not None):
            raise ValueError("username and its password (password or password_file) go together")
        if ":" in self.username:
            raise ValueError("a username can't hold a colon (HTTP basic authentication)")
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("client_cert_file and client_key_file go together")
        if any(path is not None for path in (self.ca_file, self.client_cert_file)) and not self.encrypted:
            raise ValueError("ca_file and client_cert_file need a url that begins with https://")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether any address is asked over TLS."""
        return any(url.startswith("https:") for url in self.url)


def _check_url(url: str) -> None:
    parts, usable = urlsplit(""), False
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must begin with http:// or https://, then a host and possibly a port: https://search:9200")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password, which would reach logs: use username and password_file")
    if parts.query or parts.fragment:
        raise ValueError("must end with host, port or path: leave out ? and #")


def read_password(name: str, settings: OpenSearchSettings, folder: Path) -> str:
    """Return the password, "" if there is none.

    Raises:
        ConfigError: its file can't be read.
    """
    if settings.password is not None:
        return settings.password.get_secret_value()
    if settings.password_file is None:
        return ""
    path = folder / settings.password_file
    try:
        return path.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        message = f"sinks.{name}.opensearch.password_file: cannot read {path} ({reason})"
        raise ConfigError(f"{message}. Name a text file that Vedette's user may read") from error


def tls_context(name: str, settings: OpenSearchSettings, folder: Path) -> ssl.SSLContext | None:
    """Read the certificates; None if no address is encrypted.

    Raises:
        ConfigError: a file can't be used; names its key.
    """
    if not settings.encrypted:
        return None
    context = ssl.create_default_context()
    if settings.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        path = folder / settings.ca_file
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise _unusable(name, "ca_file", path, error) from error
    if settings.client_cert_file is not None and settings.client_key_file is not None:
        path = folder / settings.client_cert_file
        try:
            # An encrypted key would make OpenSSL ask on the terminal: an empty password fails instead.
            context.load_cert_chain(path, folder / settings.client_key_file, password="")
        except (OSError, ValueError) as error:
            raise _unusable(name, "client_cert_file", path, error) from error
    return context


def _unusable(name: str, key: str, path: Path, error: OSError | ValueError) -> ConfigError:
    reason = "no PEM file with certificates" if isinstance(error, ssl.SSLError | ValueError) else str(error)
    message = f"sinks.{name}.opensearch.{key}: {path} (with its key, if it has one) can't be used ({reason})"
    return ConfigError(f"{message}. Name a PEM file that Vedette's user may read")
