"""Where recorded data lies: beside the repository, not in it."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the repository, so no recorded data to read")
    return SHARED
