"""What `vedette doctor` says of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trustme

from collector.sources.falco_grpc.connection import REMEDIES, Reason
from collector.sources.falco_grpc.probe import probe

from .falco import Certificates, Falco, alert, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.sources.falco_grpc import FalcoGrpcSettings


async def test_what_is_well_takes_no_alert(either: tuple[Falco, Callable[..., FalcoGrpcSettings]]) -> None:
    falco, chosen = either
    falco.push(alert(1))
    (check,) = await probe("falco", chosen())
    assert (check.what, check.problem) == (f"reach Falco's gRPC server at {falco.address}", "")
    assert (falco.calls, falco.versions, len(falco.queue)) == (0, 1, 1)


async def test_nobody_there() -> None:
    (check,) = await probe("falco", settings("unix:///nowhere/falco.sock"))
    assert "No such file" in check.problem
    assert check.remedy == REMEDIES[Reason.UNREACHABLE]


async def test_a_server_that_is_no_falco(falco: Falco) -> None:
    falco.has_version = False
    (check,) = await probe("falco", settings(falco.address))
    assert "does not know Falco's services" in check.problem
    assert "HTTP" in check.remedy


async def test_a_certificate_that_is_not_taken(secured: Falco, certificates: Certificates) -> None:
    certificates.issue_client(trustme.CA())
    (check,) = await probe("falco", certificates.settings(secured.address))
    assert "client certificate" in check.problem
    assert check.remedy == REMEDIES[Reason.TLS]


async def test_a_file_that_is_not_there(secured: Falco, certificates: Certificates) -> None:
    (certificates.folder / "ca.pem").unlink()
    (check,) = await probe("falco", certificates.settings(secured.address))
    assert "sources.falco.falco_grpc.ca_file" in check.problem
    assert check.remedy
