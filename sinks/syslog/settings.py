"""What an operator may say about a syslog receiver, and the certificates that the settings name."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vedette.runtime.credential_files import client_tls_context
from vedette.schema.limits import KIB, MIB

FACILITIES: Final = {
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    "audit": 13,
    "alert": 14,
    **{f"local{number}": 16 + number for number in range(8)},
}
"""Numbers of the facilities that an alert can come from (RFC 5424 table 1)."""
EXAMPLE_ENTERPRISE: Final = 32473
"""The number that is set aside for examples (RFC 5612)."""
_HOST: Final = re.compile(r"[0-9A-Za-z_.:-]{1,255}")

Facility = Literal[
    "user",
    "daemon",
    "auth",
    "authpriv",
    "audit",
    "alert",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]


class SyslogSettings(BaseModel):
    """Syslog (RFC 5424) over TCP or TLS, to a SIEM or to who watches yours: alerts as CEF or OCSF, or raw events."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    host: Annotated[str, Field(pattern=f"^{_HOST.pattern}$")]
    """Name or address of the receiver. Required."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 6514
    """TCP port of the receiver. Default: 6514, that of syslog over TLS."""
    tls: bool = True
    """Whether the connection is encrypted; otherwise anybody on the way can read and change alerts. Default: true."""
    ca_file: Path | None = None
    """PEM file with the CAs that the receiver's certificate may be signed by. Default: those that the system trusts."""
    client_cert_file: Path | None = None
    """PEM file with a certificate to log in with, followed by its intermediates. Default: none."""
    client_key_file: Path | None = None
    """PEM file with that certificate's private key, not encrypted. Default: none."""
    format: Literal["ocsf", "cef"] = "ocsf"
    """What a message holds: `ocsf`, the whole document as JSON, or `cef`, ArcSight's Common Event Format with the most
    important fields. Events are JSON in both cases. Default: ocsf."""
    facility: Facility = "local0"
    """Syslog facility. Default: local0."""
    hostname: Annotated[str, Field(pattern=r"^[!-~]{0,255}$")] = ""
    """HOSTNAME of messages. Default: the name of the machine."""
    app_name: Annotated[str, Field(pattern=r"^[!-~]{1,48}$")] = "vedette"
    """APP-NAME of messages. Default: vedette."""
    enterprise_id: Annotated[int, Field(ge=1, le=2**32 - 1)] = EXAMPLE_ENTERPRISE
    """Private enterprise number in the name of the structured data, `vedette@NUMBER`: yours, if you have one. Default:
    32473, which is set aside for examples."""
    message_bytes_max: Annotated[int, Field(ge=8 * KIB, le=MIB)] = 64 * KIB
    """Bytes of one message; what is longer is shortened with care. Not more than the receiver takes. Default: 65536."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Seconds that connecting may take, and handing over 64 KiB. Default: 10."""

    @model_validator(mode="after")
    def _certificates_are_used(self) -> Self:
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("client_cert_file and client_key_file go together")
        if not self.tls and (self.ca_file is not None or self.client_cert_file is not None):
            raise ValueError("ca_file and client_cert_file need tls: true")
        return self


def tls_context(name: str, settings: SyslogSettings, folder: Path) -> ssl.SSLContext | None:
    """Trust the CAs of `ca_file`, or those of the system, and take the certificate to log in with; None without TLS.

    Raises:
        ConfigError: a file can't be used; names its key.
    """
    if not settings.tls:
        return None
    place = f"sinks.{name}.syslog"
    return client_tls_context(place, folder, settings.ca_file, settings.client_cert_file, settings.client_key_file)
