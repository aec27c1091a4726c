"""What an operator may say about Request Tracker. JSON Schema and docs are made from this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from vedette.schema.errors import TransientError
from vedette.schema.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_PATTERN: Final = re.compile(r"[^\x00-\x1f\x7f'\"\\{}/]+")
"""Names of queues and custom fields, which stand in addresses and in RT's query language."""
SECRET_RETRY_S: Final = 30.0


class RtSettings(BaseModel):
    """Request Tracker 5: one ticket for each thing that goes wrong, a comment for each update."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    url: str
    """Web address of Request Tracker, as in its `WebBaseURL` and `WebPath`: `https://rt.example`. Required."""
    queue: str
    """Name of the queue that tickets are created in. Required."""
    token: SecretStr | None = None
    """Authentication token of the account (RT::Authen::Token). Default: none; set this or `username`."""
    token_file: str | None = None
    """File that holds the token; instead of `token`. Default: none."""
    username: str | None = None
    """Account to log in as with a password. Default: none; set this or `token`."""
    password: SecretStr | None = None
    """Password of `username`. Default: none."""
    password_file: str | None = None
    """File that holds the password; instead of `password`. Default: none."""
    ca_file: str | None = None
    """PEM file with the CAs that may vouch for the server. Default: those that the machine trusts."""
    reference_field: str = "Vedette"
    """Custom field of the queue's tickets that holds Vedette's reference. Default: Vedette."""
    reopen_status: str = "open"
    """Status that a resolved or rejected ticket gets when a new alert belongs to it; empty: it only gets a comment.
    Default: open."""
    on_verdict: dict[Judgement, str] = Field(default_factory=dict[Judgement, str])
    """Status that a ticket gets when an analyst closes its alert, by the verdict, such as `false_positive: rejected`;
    a verdict that is not named is only commented. Default: none."""
    concurrency: int = Field(default=2, ge=1, le=16)
    """Tickets that are written at the same time; Request Tracker needs a worker for each. Default: 2."""
    timeout_s: float = Field(default=30, ge=0.05, le=600)
    """Seconds that Request Tracker may take over one request. After one whose outcome is not known, this long passes
    before it is sent again. Default: 30."""

    @field_validator("url")
    @classmethod
    def _url_is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        extras = parts.username or parts.query or parts.fragment
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or extras
            or not url.isascii()
            or parts.port == 0
        ):
            raise ValueError("must be a web address without user, password, query or fragment: https://rt.example")
        return url.rstrip("/").removesuffix("/REST/2.0")

    @field_validator("queue", "reference_field")
    @classmethod
    def _name_is_plain(cls, name: str) -> str:
        if not NAME_PATTERN.fullmatch(name):
            raise ValueError(f"{name!r} can't be used: give it a name without quotes, braces, slashes and backslashes")
        return name

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        tokens = sum(value is not None for value in (self.token, self.token_file))
        passwords = sum(value is not None for value in (self.password, self.password_file))
        if (tokens, passwords, self.username is not None) not in {(1, 0, False), (0, 1, True)}:
            raise ValueError("set one of token and token_file, or username with one of password and password_file")
        return self

    @property
    def account(self) -> str:
        """Who logs in, for messages."""
        return self.username or "the token's owner"

    def auth(self) -> Mapping[str, str]:
        """Return the header that logs in; files are read each time, so that a new secret is taken up.

        Raises:
            TransientError: the file can't be read now.
        """
        if self.username is None:
            token = self._secret(self.token, self.token_file)
            if not token.isascii() or not token.isprintable():
                raise TransientError("the token for Request Tracker must be ASCII", retry_after_s=SECRET_RETRY_S)
            return {"Authorization": f"token {token}"}
        basic = httpx.BasicAuth(self.username, self._secret(self.password, self.password_file))
        request = next(basic.auth_flow(httpx.Request("GET", self.url)))
        return {"Authorization": request.headers["Authorization"]}

    def _secret(self, value: SecretStr | None, file: str | None) -> str:
        if file is None:
            assert value is not None, "the settings were checked"
            return value.get_secret_value()
        try:
            secret = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"the secret for Request Tracker can't be read from {file}. Put it there, readable for Vedette"
            raise TransientError(message, retry_after_s=SECRET_RETRY_S) from error
        if not secret.isprintable() or not secret:
            raise TransientError(
                f"{file} must hold the secret for Request Tracker on one line", retry_after_s=SECRET_RETRY_S
            )
        return secret
