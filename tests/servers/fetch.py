"""Fetch the real servers that tests run against: `python3 fetch.py [NAME…]` fetches those named, or all.

They lie in one folder outside the repository: $VEDETTE_TESTS_CACHE, else vedette-tests in the user's cache folder. What
is there already stays; two runs at a time wait for each other. Downloads go through `mvn` and `apt-get` as this machine
has them configured. OpenSearch is checked against the SHA-256 sums below, Kafka by Maven; apt checks Debian packages
against the signed index of their archive, so they follow the distribution's security updates. Request Tracker alone
cannot run from a folder: it is installed, which needs root, and no service of it is started.

This module needs nothing but the standard library: it runs before there is an environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

CACHE: Final = Path(
    os.environ.get("VEDETTE_TESTS_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vedette-tests"
)
OPENSEARCH_2: Final = CACHE / "opensearch-2.19.4-security"
OPENSEARCH_3: Final = CACHE / "opensearch-3.8.0"
PROMETHEUS: Final = CACHE / "prometheus"
ALERTMANAGER: Final = CACHE / "alertmanager"
TEMPLATES: Final = "templates"
"""Folder of Alertmanager's templates, beside its program and in its working folder."""
RSYSLOG: Final = CACHE / "rsyslog"
KAFKA: Final = CACHE / "kafka-4.3.1"


class Artefact(NamedTuple):
    """A file of a Maven repository."""

    coordinates: str
    sha256: str


# The integration-test zip is a whole server. Maven repositories do not have the full distribution.
OPENSEARCH_2_SERVER: Final = Artefact(
    "org.opensearch.distribution.integ-test-zip:opensearch:2.19.4:zip",
    "3902e642715210d1d9d7cbdcc8f5abd6f931d1d7a679cea3750937becf16c406",
)
OPENSEARCH_2_SECURITY: Final = Artefact(
    "org.opensearch.plugin:opensearch-security:2.19.4.0:zip",  # must name the server's version exactly
    "1f673622c462c4171a8c53f9b1ad20e5b839834cb79b0d3b388da180a0e514e8",
)
OPENSEARCH_3_SERVER: Final = Artefact(
    "org.opensearch.distribution.integ-test-zip:opensearch:3.8.0:zip",
    "196c3cf4602c394f2e40e6174ccbf2a924eae37246f08fa6bbb6b75f9fd5ff1f",
)
KAFKA_POM: Final = """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>vedette.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version>
    </dependency>
  </dependencies>
</project>
"""
"""Kafka's broker is some forty jars. Maven checks each against the sum that its repository states."""
RSYSLOG_LIBRARIES: Final = ("libestr0", "libfastjson4", "liblognorm5")
"""What rsyslog links to beside what every Debian has."""
REQUEST_TRACKER_PACKAGES: Final = ("request-tracker5", "rt5-db-sqlite", "rt5-standalone", "starman")
MAIL_AGENT: Final = "msmtp-mta"
"""Request Tracker wants one, whichever; this one runs no service. The tests send no mail."""
REQUEST_TRACKER_ANSWERS: Final = """
request-tracker5 request-tracker5/rtname string example.test
request-tracker5 request-tracker5/organization string example.test
request-tracker5 request-tracker5/correspondaddress string rt@example.test
request-tracker5 request-tracker5/commentaddress string rt-comment@example.test
request-tracker5 request-tracker5/webbaseurl string http://localhost
request-tracker5 request-tracker5/webpath string /rt
request-tracker5 request-tracker5/handle-siteconfig-permissions boolean true
request-tracker5 request-tracker5/install-cronjobs boolean false
request-tracker5 request-tracker5/initial-root-password password unused
request-tracker5 request-tracker5/initial-root-password-confirm password unused
request-tracker5 request-tracker5/dbconfig-install boolean false
"""
POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""Debian's way to forbid that an installation starts services."""


class FetchError(Exception):
    """A server cannot be fetched here; the message says what to do."""


class Part(NamedTuple):
    """A server: whether it is there, what fetching it needs beside what running it needs, and how it is done."""

    present: Callable[[], bool]
    lacking: Callable[[], list[str]]
    fetch: Callable[[], None]


# --- what must be there before ----------------------------------------------------------------------------------------
def java_home(major: int) -> Path | None:
    """The home of a Java of that major version, from JAVA_HOME or where Linux distributions put them."""
    named = os.environ.get("JAVA_HOME")
    homes = [*([Path(named)] if named else []), *sorted(Path("/usr/lib/jvm").glob("*"))]
    for home in homes:
        release = home / "release"
        if release.is_file() and f'JAVA_VERSION="{major}.' in release.read_text():
            return home
    return None


def lacks_java(major: int) -> list[str]:
    if java_home(major):
        return []
    return [
        f"Java {major} (looked in JAVA_HOME and /usr/lib/jvm): install openjdk-{major}-jre-headless or Temurin {major}"
    ]


def lacks_command(command: str, package: str) -> list[str]:
    return [] if shutil.which(command) else [f"{command}: install {package}"]


def lacks_maven() -> list[str]:
    return lacks_command("mvn", "Maven (Debian, Ubuntu: apt install maven)")


def lacks_apt() -> list[str]:
    return lacks_command("apt-get", "these servers by hand, this is no Debian or Ubuntu")


def lacks_root() -> list[str]:
    if os.getuid() == 0 or lacks_apt():
        return lacks_apt()
    return [f"root, to install Request Tracker. Or have it done: apt-get install {' '.join(REQUEST_TRACKER_PACKAGES)}"]


# --- from Maven repositories ------------------------------------------------------------------------------------------
def unpack(artefact: Artefact, folder: Path) -> None:
    """Download a zip, check it and unpack it into a folder."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        run("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artefact.coordinates}", f"-DoutputDirectory={name}")
        (download,) = Path(name).iterdir()
        found = hashlib.sha256(download.read_bytes()).hexdigest()
        if found != artefact.sha256:
            raise FetchError(
                f"{artefact.coordinates} has SHA-256 {found}, expected {artefact.sha256}: do not use it."
                " If Maven's local repository holds a broken copy, remove that and try again"
            )
        with zipfile.ZipFile(download) as archive:
            archive.extractall(folder)


def fetch_opensearch_2() -> None:
    with appearing(OPENSEARCH_2) as folder:
        unpack(OPENSEARCH_2_SERVER, folder)
        (server,) = folder.iterdir()
        unpack(OPENSEARCH_2_SECURITY, server / "plugins/opensearch-security")


def fetch_opensearch_3() -> None:
    with appearing(OPENSEARCH_3) as folder:
        unpack(OPENSEARCH_3_SERVER, folder)


def fetch_kafka() -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as project, appearing(KAFKA) as folder:
        pom = Path(project) / "pom.xml"
        pom.write_text(KAFKA_POM)
        copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
        run("mvn", "-q", "-B", "-f", str(pom), *copy)


@contextmanager
def appearing(target: Path) -> Generator[Path]:
    """A folder to fill; what it holds (or the one folder in it) becomes `target` only when all went well."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        yield Path(name)
        inner = list(Path(name).iterdir())
        (inner[0] if len(inner) == 1 else Path(name)).rename(target)


# --- from Debian ------------------------------------------------------------------------------------------------------
def fetch_prometheus() -> None:
    with unpacked("prometheus") as system, appearing(PROMETHEUS) as folder:
        move(system / "usr/bin", "*", folder)


def fetch_alertmanager() -> None:
    with unpacked("prometheus-alertmanager") as system, appearing(ALERTMANAGER) as folder:
        server = system / "usr/bin/prometheus-alertmanager"
        server.write_bytes(relocated(server.read_bytes()))
        move(system / "usr/bin", "*", folder)
        (system / "usr/share/prometheus/alertmanager").rename(folder / TEMPLATES)


def relocated(program: bytes) -> bytes:
    """Let it look for its templates in TEMPLATES of its working folder: Debian builds a path in that only root may use.

    Raises:
        FetchError: that path is not there once.
    """
    built_in = b"/usr/share/prometheus/alertmanager"
    own = f"{TEMPLATES:/>{len(built_in) - 1}}".encode()
    (before, *after) = re.split(re.escape(built_in) + rb"(?!/)", program)
    if len(after) != 1:
        raise FetchError("this build of prometheus-alertmanager names its templates otherwise: look at `relocated`")
    return before + b"." + own + after[0]


def fetch_rsyslog() -> None:
    with unpacked("rsyslog", "rsyslog-openssl", *RSYSLOG_LIBRARIES) as system, appearing(RSYSLOG) as folder:
        modules = folder / "modules"
        modules.mkdir()
        move(system / "usr/sbin", "rsyslogd", folder)
        for libraries in (system / "usr/lib").glob("*"):
            move(libraries, "*.so.*", folder)
            move(libraries / "rsyslog", "*.so", modules)


@contextmanager
def unpacked(*packages: str) -> Generator[Path]:
    """A folder with the files of Debian packages, none of which is installed."""
    update_index()
    with tempfile.TemporaryDirectory(dir=CACHE) as downloads, tempfile.TemporaryDirectory(dir=CACHE) as system:
        run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *packages, cwd=downloads)
        for package in Path(downloads).glob("*.deb"):
            run("dpkg-deb", "-x", str(package), system)
        yield Path(system)


def move(source: Path, pattern: str, target: Path) -> None:
    for path in source.glob(pattern):
        path.rename(target / path.name)


def request_tracker_installed() -> bool:
    if lacks_apt():
        return False
    query = ("dpkg-query", "-W", "-f", "${db:Status-Status}\n", *REQUEST_TRACKER_PACKAGES)
    states = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return states == ["installed"] * len(REQUEST_TRACKER_PACKAGES)


def fetch_request_tracker() -> None:
    update_index()
    run("debconf-set-selections", text=REQUEST_TRACKER_ANSWERS)
    with no_service_starts():
        packages = [*REQUEST_TRACKER_PACKAGES, *([] if Path("/usr/sbin/sendmail").exists() else [MAIL_AGENT])]
        run("apt-get", "install", "-y", "-qq", "--no-remove", "--no-install-recommends", *packages)


@contextmanager
def no_service_starts() -> Generator[None]:
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def update_index() -> None:
    if os.getuid() == 0:
        run("apt-get", "update", "-qq")


# --- all of them ------------------------------------------------------------------------------------------------------
PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "opensearch-2": Part(OPENSEARCH_2.exists, lacks_maven, fetch_opensearch_2),
        "opensearch-3": Part(OPENSEARCH_3.exists, lacks_maven, fetch_opensearch_3),
        "kafka": Part(KAFKA.exists, lacks_maven, fetch_kafka),
        "prometheus": Part(PROMETHEUS.exists, lacks_apt, fetch_prometheus),
        "alertmanager": Part(ALERTMANAGER.exists, lacks_apt, fetch_alertmanager),
        "rsyslog": Part(RSYSLOG.exists, lacks_apt, fetch_rsyslog),
        "request-tracker": Part(request_tracker_installed, lacks_root, fetch_request_tracker),
    }
)
RUNS_ON_JAVA: Final[Mapping[str, int]] = MappingProxyType({"opensearch-2": 17, "opensearch-3": 25, "kafka": 17})


def run(*command: str, cwd: str | None = None, text: str | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        cwd=cwd,
        input=text,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FetchError(f"{' '.join(command[:3])} … ended with {done.returncode}:\n{done.stdout[-3000:]}")


def fetch(names: list[str]) -> None:
    """Fetch what is not there yet. Raises FetchError, which lists all that this machine lacks for it."""
    os.umask(0o022)  # the servers run as another user when this is root
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in names if not PARTS[name].present()]
        lacking = [lack for name in names if name in RUNS_ON_JAVA for lack in lacks_java(RUNS_ON_JAVA[name])]
        lacking += [lack for name in missing for lack in PARTS[name].lacking()]
        if lacking:
            raise FetchError(
                "\n  - ".join(["the servers for the tests need what this machine lacks:", *dict.fromkeys(lacking)])
            )
        for name in missing:
            sys.stderr.write(f"fetching {name} into {CACHE}\n")
            PARTS[name].fetch()


def fetched(name: str) -> None:
    """Raise FetchError unless that server can be run."""
    lacking = lacks_java(RUNS_ON_JAVA[name]) if name in RUNS_ON_JAVA else []
    if lacking or not PARTS[name].present():
        raise FetchError("\n  - ".join([f"{name} is not there to test with: run `make servers`", *lacking]))


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in PARTS]
    if unknown:
        sys.exit(f"fetch.py: no such server: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    try:
        fetch(sys.argv[1:] or list(PARTS))
    except FetchError as error:
        sys.exit(f"fetch.py: {error}")
