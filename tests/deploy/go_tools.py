"""Go programs that tests run, built once from their modules into the folder of the other servers: Helm, and Kubernetes.

Helm takes about two minutes, `kube` (its source is in the folder of that name) half of one; both use two cores. What is
built is vouched for by the module proxy's checksum database and by go.sum.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers.fetch import CACHE, FetchError

from .rendered import CHART

if TYPE_CHECKING:
    from collections.abc import Sequence

HELM_VERSION: Final = "v3.22.0"
HELM: Final = CACHE / f"helm-{HELM_VERSION.removeprefix('v')}" / "helm"
KUBERNETES: Final = "1.31.0"
"""Rendered for; a Helm that was built from its module knows of no newer one than 1.20."""
KUBE_SOURCE: Final = Path(__file__).parent / "kube"
_FLAGS: Final = ("-trimpath", "-ldflags=-s -w")


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Helm."""
    _ensure(HELM, ["go", "install", *_FLAGS, f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}"])
    return subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True, check=False)


def template(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Render the chart."""
    return helm("template", "vedette", CHART, "--namespace", "vedette", "--kube-version", KUBERNETES, *arguments)


def kube(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    """Ask Kubernetes' own packages; see the source for what can be asked."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(KUBE_SOURCE.iterdir())))
    binary = CACHE / f"kube-{digest.hexdigest()[:12]}" / "kube"
    _ensure(binary, ["go", "install", *_FLAGS, "."], KUBE_SOURCE)
    return subprocess.run([binary, *map(str, arguments)], input=text, capture_output=True, text=True, check=False)


def _ensure(binary: Path, command: Sequence[str], source: Path | None = None) -> None:
    """Build unless that was done.

    Raises:
        FetchError: it can't be built here.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            _build(binary, command, source)


def _build(binary: Path, command: Sequence[str], source: Path | None) -> None:
    if shutil.which("go") is None:
        raise FetchError(f"{binary.name} is built here for the tests: install Go (https://go.dev/dl)")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        environment = {**os.environ, "GOBIN": folder, "CGO_ENABLED": "0"}
        built = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
        if built.returncode:
            raise FetchError(f"{' '.join(command)} ended with {built.returncode}:\n{built.stderr[-2000:]}")
        (made,) = Path(folder).iterdir()
        binary.parent.mkdir(exist_ok=True)
        made.rename(binary)
