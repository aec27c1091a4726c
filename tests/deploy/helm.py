"""Helm as tests run it: built once from its Go module into the folder of the other servers (about two minutes)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.servers.fetch import CACHE, FetchError

from .rendered import CHART

VERSION: Final = "v3.22.0"
HELM: Final = CACHE / f"helm-{VERSION.removeprefix('v')}" / "helm"
KUBERNETES: Final = "1.31.0"
"""Rendered for; a Helm that was built from its module knows of no newer one than 1.20."""


def helm() -> Path:
    """Helm's binary. The module proxy's checksum database vouches for what is built.

    Raises:
        FetchError: it can't be built here.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not HELM.exists():
            _build()
    return HELM


def _build() -> None:
    if shutil.which("go") is None:
        raise FetchError("the chart is tested with Helm, which is built here: install Go (https://go.dev/dl)")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        environment = {**os.environ, "GOBIN": folder, "CGO_ENABLED": "0"}
        command = ["go", "install", "-trimpath", "-ldflags=-s -w", f"helm.sh/helm/v3/cmd/helm@{VERSION}"]
        built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if built.returncode:
            raise FetchError(f"{' '.join(command)} ended with {built.returncode}:\n{built.stderr[-2000:]}")
        HELM.parent.mkdir(exist_ok=True)
        Path(folder, "helm").rename(HELM)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(helm()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def template(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("template", "vedette", CHART, "--namespace", "vedette", "--kube-version", KUBERNETES, *arguments)
