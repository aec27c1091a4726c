"""A Falco on a socket, one on a port that asks for certificates, and either."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .falco import Certificates, Falco, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any

    from collector.sources.falco_grpc import FalcoGrpcSettings


@pytest.fixture
async def falco(tmp_path: Path) -> AsyncIterator[Falco]:
    """One on a socket."""
    server = Falco(f"unix://{tmp_path}/falco.sock")
    await server.start()
    yield server
    await server.kill()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
async def secured(certificates: Certificates) -> AsyncIterator[Falco]:
    """One on a port."""
    server = Falco("127.0.0.1:0", certificates.credentials())
    await server.start()
    yield server
    await server.kill()


@pytest.fixture(params=["unix socket", "mTLS"])
def either(request: pytest.FixtureRequest) -> tuple[Falco, Callable[..., FalcoGrpcSettings]]:
    """A server, and how its clients are set."""
    if request.param == "unix socket":
        server = request.getfixturevalue("falco")
        return server, lambda **more: settings(server.address, **more)
    server = request.getfixturevalue("secured")
    certificates = request.getfixturevalue("certificates")

    def make(**more: Any) -> FalcoGrpcSettings:
        made: FalcoGrpcSettings = certificates.settings(server.address, **more)
        return made

    return server, make
