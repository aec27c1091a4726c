"""What operators may set, and what is refused with a word on what to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collector.sources.falco_grpc import FalcoGrpcSettings

TLS = {"ca_file": "ca.pem", "client_cert_file": "c.pem", "client_key_file": "c.key"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"address": "unix:///tmp/a b%20c.sock"},
        {"address": "falco.example:5060", **TLS},
        {"address": "10.0.0.1:5060", **TLS, "server_name": "falco.example"},
        {"address": "[::1]:5060", **TLS},
        {"method": "get", "poll_interval_s": 1, "timeout_s": 60},
    ],
)
def test_what_can_be_set(given: dict[str, Any]) -> None:
    assert FalcoGrpcSettings.model_validate(given).is_unix == ("ca_file" not in given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"address": "/run/falco/falco.sock"}, "name a socket"),
        ({"address": "unix:falco.sock"}, "name a socket"),
        ({"address": "unix://falco.sock"}, "absolute path"),
        ({"address": "unix:///" + "x" * 107}, "at most 107 bytes"),
        ({"address": "unix:///a\0b"}, "absolute path"),
        ({"address": "https://falco:5060", **TLS}, "name a socket"),
        ({"address": "falco", **TLS}, "name a socket"),
        ({"address": "falco:0", **TLS}, "name a socket"),
        ({"address": "falco:65536", **TLS}, "name a socket"),
        ({"address": "falco:\u0665060", **TLS}, "name a socket"),
        ({"address": "falco:5060"}, "needs ca_file, client_cert_file and client_key_file"),
        ({"address": "falco:5060", "ca_file": "ca.pem"}, "needs ca_file, client_cert_file and client_key_file"),
        (TLS, "are for `host:port`"),
        ({"server_name": "falco"}, "are for `host:port`"),
        ({"method": "subscribe"}, "'sub' or 'get'"),
        ({"poll_interval_s": 0}, "greater than or equal to 0.01"),
        ({"format": "falco"}, "not permitted"),
    ],
)
def test_what_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FalcoGrpcSettings.model_validate(given)
