"""What an operator may say about an Alertmanager, and the secrets and certificates that the settings name."""

from __future__ import annotations

import base64
import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from vedette.runtime.credential_files import client_tls_context, read_secret_file
from vedette.schema.errors import ConfigError

OWN_LABELS: Final = ("alertname", "severity", "cluster", "namespace", "source", "rule_id", "alert_id")
"""The labels of every alert, in this order; those that have no value are left out."""
LABELS_MAX: Final = 20
LABEL_CHARS_MAX: Final = 200
"""Characters of a label's value: labels are read at a glance, and each stands in every notification."""
ALERT_ID: Final = "{alert_id}"
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""A name of a label (Prometheus's data model)."""
_URL: Final = re.compile(r"[!-~]+")


class AlertmanagerSettings(BaseModel):
    """Prometheus Alertmanager: notifications by its routes, resolved when an alert is over."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    url: str
    """Address of the Alertmanager, with its path if it has one (`--web.route-prefix`): `http://127.0.0.1:9093`.
    Required."""
    username: str = ""
    """Who logs in, by HTTP basic authentication. Default: none."""
    password: SecretStr | None = None
    """Password of `username`. Default: none."""
    password_file: Path | None = None
    """File that holds the password; instead of `password`. Default: none."""
    token: SecretStr | None = None
    """Bearer token, for a proxy that asks for one; instead of `username`. Default: none."""
    token_file: Path | None = None
    """File that holds the token; instead of `token`. Default: none."""
    ca_file: Path | None = None
    """PEM file with the CAs that the server's certificate may be signed by. Default: those that the system trusts."""
    client_cert_file: Path | None = None
    """PEM file with a certificate to log in with, followed by its intermediates. Default: none."""
    client_key_file: Path | None = None
    """PEM file with that certificate's private key, not encrypted. Default: none."""
    labels: Annotated[dict[str, str], Field(max_length=LABELS_MAX)] = Field(default_factory=dict)
    """Labels that every alert gets beside Vedette's own, such as `team: soc`. Default: none."""
    link: str | None = None
    """Address that notifications link to, in which `{alert_id}` stands for the alert's id. Default: none."""
    hold_s: Annotated[float, Field(ge=60, le=86_400)] = 900.0
    """Seconds that an alert holds at least after it was first sent, so that it is notified of: more than `group_wait`
    and `group_interval` of every route that it may take. Default: 900."""
    document: bool = False
    """Whether the annotation `document` holds the whole alert as JSON, for receivers that are programs. Default:
    false."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Seconds that one request may take, from connecting to the end of its answer. Default: 10."""

    @field_validator("url")
    @classmethod
    def _url_is_an_address(cls, url: str) -> str:
        parts = urlsplit(_plain_url(url))
        if "@" in parts.netloc:
            raise ValueError("must hold no user and password, which would reach logs: use username and password_file")
        if parts.query or parts.fragment:
            raise ValueError("must end with host, port or path: leave out ? and #")
        return url.rstrip("/").removesuffix("/api/v2")

    @field_validator("link")
    @classmethod
    def _link_is_an_address(cls, link: str | None) -> str | None:
        return None if link is None else _plain_url(link)

    @field_validator("labels")
    @classmethod
    def _labels_are_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name, value in labels.items():
            if not _LABEL.fullmatch(name) or name.startswith("__"):
                raise ValueError(f"{name!r} is no name of a label: use letters, digits and _, not beginning with __")
            if name in OWN_LABELS:
                raise ValueError(f"{name} is a label of Vedette's own: choose another name")
            if not 1 <= len(value) <= LABEL_CHARS_MAX or not value.isprintable():
                raise ValueError(f"the value of {name} must have 1 to {LABEL_CHARS_MAX} printable characters")
        return labels

    @model_validator(mode="after")
    def _secrets_are_paired(self) -> Self:
        passwords = sum(value is not None for value in (self.password, self.password_file))
        tokens = sum(value is not None for value in (self.token, self.token_file))
        if (bool(self.username), passwords, tokens) not in {(False, 0, 0), (True, 1, 0), (False, 0, 1)}:
            raise ValueError("set username with one of password and password_file, or one of token and token_file")
        if ":" in self.username:
            raise ValueError("a username can't hold a colon (HTTP basic authentication)")
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("client_cert_file and client_key_file go together")
        return self


def _plain_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and _URL.fullmatch(url)
    except ValueError as error:
        raise ValueError("must be http:// or https:// with a host and, if any, a port up to 65535") from error
    if not usable:
        raise ValueError("must be http:// or https:// with a host, in ASCII without blanks")
    return url


def read_authorization(name: str, settings: AlertmanagerSettings, folder: Path) -> dict[str, str]:
    """Return the header field that logs in, if any; files are read each time, so that a new secret counts at once.

    Raises:
        ConfigError: a file can't be read, or holds what no header can carry.
    """
    place = f"sinks.{name}.alertmanager"
    if settings.username:
        password = _secret(f"{place}.password", settings.password, settings.password_file, folder)
        credentials = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}
    if settings.token is None and settings.token_file is None:
        return {}
    token = _secret(f"{place}.token", settings.token, settings.token_file, folder)
    if not token.isascii() or not token.isprintable() or not token.strip():
        raise ConfigError(f"{place}.token: it is empty, or no header can carry it. Use visible ASCII characters")
    return {"Authorization": f"Bearer {token.strip()}"}


def _secret(place: str, value: SecretStr | None, file: Path | None, folder: Path) -> str:
    if file is None:
        assert value is not None, "the settings were checked"
        return value.get_secret_value()
    return read_secret_file(f"{place}_file", folder / file)


def tls_context(name: str, settings: AlertmanagerSettings, folder: Path) -> ssl.SSLContext:
    """Trust the CAs of `ca_file`, or those of the system, and take the certificate to log in with.

    Raises:
        ConfigError: a file can't be used; names its key.
    """
    place = f"sinks.{name}.alertmanager"
    return client_tls_context(place, folder, settings.ca_file, settings.client_cert_file, settings.client_key_file)
