"""Simulations know what is durable without a real disk, so they run in memory where they can."""

import gc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vedette-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)
        gc.collect()  # connections that a crash left open fail to close on their dead disk: here, not in another test
