"""Apache Kafka 4 as one process, broker and controller (KRaft): without login, with SASL, with TLS, and with both."""

from __future__ import annotations

import asyncio
import base64
import functools
import gc
import socket
import ssl
import subprocess
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from .fetch import KAFKA, RUNS_ON_JAVA, fetched, java_home
from .process import Host, Server, ServerError, free_port, link

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

P = ParamSpec("P")
USER: Final = "vedette"
PASSWORD: Final = "w;r!ter= Passw0rd"
LISTENERS: Final = ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
JVM: Final = (
    "-Xms256m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
)
LOGGING: Final = """
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
"""
SETTINGS: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={config}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={config}/ca.pem
ssl.client.auth=requested
log.dirs={data}
num.partitions=3
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.threads=1
num.network.threads=2
num.io.threads=2
"""
JAAS: Final = "org.apache.kafka.common.security"


class Kafka(Server):
    """One broker. `url` is the address without login and TLS; `address` gives the others by listener.

    `user` and `password` log in by PLAIN and SCRAM; `ca` has signed the broker's certificate, and may sign clients'.
    """

    def __init__(self, host: Host) -> None:
        fetched("kafka")
        super().__init__(host, "kafka")
        self.user, self.password = USER, PASSWORD
        self._ports: dict[str, int] = dict(
            zip(LISTENERS, [self.port, free_port(), free_port(), free_port()], strict=True)
        )
        self._controller = free_port()
        self.config = self.folder / "config"
        self.authority = trustme.CA()
        self.ca = self.config / "ca.pem"
        self._set_up()
        self._format()

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self._ports[listener]}"

    @property
    def url(self) -> str:
        return self.address("PLAINTEXT")

    def client_certificate(self, folder: Path) -> tuple[Path, Path]:
        """A client's certificate and its key, as PEM files in `folder`."""
        issued = self.authority.issue_cert("vedette.test", common_name="vedette")
        certificate, key = folder / "client.pem", folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self.config / "server.properties"))

    def ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        """There is no client of its own."""

    # --- what it runs on ----------------------------------------------------------------------------------------------
    def _set_up(self) -> None:
        libs = self.folder / "libs"
        libs.mkdir()
        for jar in KAFKA.iterdir():
            link(jar, libs / jar.name)
        self.config.mkdir()
        self._certify()
        (self.config / "log4j2.properties").write_text(LOGGING)
        (self.config / "server.properties").write_text(self._settings())
        (self.folder / "data").mkdir()
        self.host.hand_over(self.folder / "data")
        self.host.hand_over(self.config)

    def _certify(self) -> None:
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        self.authority.cert_pem.write_to_path(self.ca)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        store = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.config / "server.pem").write_bytes(store + b"".join(pem.bytes() for pem in issued.cert_chain_pems))

    def _settings(self) -> str:
        text = SETTINGS.format(controller=self._controller, config=self.config, data=self.folder / "data")
        addresses = ",".join(f"{name}://{self.address(name)}" for name in LISTENERS)
        protocols = ",".join(f"{name}:{name}" for name in LISTENERS)
        text += f"listeners={addresses},CONTROLLER://127.0.0.1:{self._controller}\n"
        text += f"advertised.listeners={addresses}\n"
        text += f"listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT\n"
        plain = f'{JAAS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        for listener in ("sasl_plaintext", "sasl_ssl"):
            text += f"listener.name.{listener}.plain.sasl.jaas.config={plain}\n"
            for mechanism in MECHANISMS:
                key = f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"
                text += f"{key}={JAAS}.scram.ScramLoginModule required;\n"
        return text

    def _format(self) -> None:
        """Make the data folder, with the user whose password SCRAM proves."""
        cluster = "-"
        while cluster.startswith("-"):  # which would be read as an option
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._java("kafka.tools.StorageTool", "format", "-t", cluster)
        command += ["-c", str(self.config / "server.properties")]
        for mechanism in MECHANISMS:
            command += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        process = self.host.spawn(command, self.folder, self.log, {})
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            status = None
        self.host.end(process)
        if status != 0:
            raise ServerError(f"kafka's data folder could not be made (status {status}){self.tail()}")

    def _java(self, main: str, *arguments: str) -> list[str]:
        java = java_home(RUNS_ON_JAVA["kafka"])
        assert java is not None, "fetched() has looked for it"
        logging = f"-Dlog4j2.configurationFile={self.config}/log4j2.properties"
        return [f"{java}/bin/java", *JVM, logging, "-cp", f"{self.folder}/libs/*", main, *arguments]

    def trusting(self) -> ssl.SSLContext:
        """What a client needs to trust the broker."""
        return ssl.create_default_context(cafile=self.ca)


def left_to_collector(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that breaks connections while aiokafka 0.14 makes them, which leaves those to the garbage collector.

    They are collected here, with a loop of the test's own, lest the next test is blamed for them.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            asyncio.run(test(*args, **kwargs))
            gc.collect()

    return run
