"""OpenSearch on one node: 2.19 with the security plugin (TLS by a CA of its own, basic auth), and 3.x over plain HTTP.

Neither has index state management. 2.19 lacks optional modules as well: no Painless scripts, `_reindex`, update by
query or ingest processors. Bulk, data streams, index templates, strict mappings, rollover and aggregations work.
The server's JVM is started directly: bin/opensearch runs two more before it and touches all its memory, which is slow.
"""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from .fetch import OPENSEARCH_2, OPENSEARCH_3, RUNS_ON_JAVA, fetched, java_home
from .process import Host, Server, free_port, link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAP: Final = "512m"


class Account(NamedTuple):
    """Who to be. The hash is bcrypt's of the password."""

    user: str
    password: str
    hash: str


ADMIN: Final = Account("admin", "admin-Passw0rd", "$2y$10$vedettetestsvedetteteeVdEpz7T8chsuQYusV96g6pAjwwlziVO")
WRITER: Final = Account("vedette", "wr!ter: Passw0rd", "$2y$10$testsofvedettetestsof.yjiRq.HytL1.qtj4G0Z846rsAyILUl6")

USERS: Final = f"""
_meta: {{type: internalusers, config_version: 2}}
{ADMIN.user}: {{hash: {ADMIN.hash}, reserved: true, backend_roles: [admin]}}
{WRITER.user}: {{hash: {WRITER.hash}, backend_roles: [vedette]}}
"""
ROLE: Final = """
vedette:
  cluster_permissions: [cluster_composite_ops, cluster_monitor, "indices:admin/index_template/*"]
  index_permissions: [{index_patterns: ["vedette-*"], allowed_actions: [indices_all]}]
"""
ROLE_MAPPING: Final = """
vedette: {backend_roles: [vedette]}
"""
SECURITY_SETTINGS: Final = """
plugins.security.ssl.transport.pemcert_filepath: node.pem
plugins.security.ssl.transport.pemkey_filepath: node.key
plugins.security.ssl.transport.pemtrustedcas_filepath: ca.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: true
plugins.security.ssl.http.pemcert_filepath: node.pem
plugins.security.ssl.http.pemkey_filepath: node.key
plugins.security.ssl.http.pemtrustedcas_filepath: ca.pem
plugins.security.nodes_dn: ["CN=node,*"]
plugins.security.allow_default_init_securityindex: true
plugins.security.restapi.roles_enabled: [all_access]
"""
SYSTEM_PROPERTIES: Final = MappingProxyType(
    {
        "file.encoding": "UTF-8",
        "io.netty.noUnsafe": "true",
        "java.awt.headless": "true",
        "jna.nosys": "true",
        "log4j.shutdownHookEnabled": "false",
        "log4j2.disable.jmx": "true",
        "opensearch.bundled_jdk": "false",
        "opensearch.distribution.type": "zip",
    }
)
THREAD_FACTORY: Final = "org.opensearch.secure_sm.SecuredForkJoinWorkerThreadFactory"
# As the jvm.options of 2.19 and of 3.x have them for these Java versions.
JVM_OPTIONS: Final[Mapping[int, Sequence[str]]] = MappingProxyType(
    {
        17: (
            "-Djava.security.manager=allow",
            "-Djava.locale.providers=SPI,COMPAT",
            f"-Djava.util.concurrent.ForkJoinPool.common.threadFactory={THREAD_FACTORY}",
        ),
        25: (
            "-Djava.locale.providers=SPI,CLDR",
            "-javaagent:{home}/agent/opensearch-agent.jar",
            "--add-modules=jdk.incubator.vector",
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
        ),
    }
)
LENIENT: Final = "ignore_unavailable=true&allow_no_indices=true"
LOGGING: Final = """
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


class OpenSearch(Server):
    """A node that tests write to through `url`, and look at, empty and misuse through this handle.

    `user` and `password` may read and write `vedette-*` and index templates; `admin` may do everything. Without the
    security plugin there are no users: both are empty, `admin` and `ca` are None.
    """

    def __init__(self, host: Host, source: Path, java: int, *, secured: bool) -> None:
        super().__init__(host, source.name)
        self.source, self.java, self.secured = source, java, secured
        self.url = f"{'https' if secured else 'http'}://127.0.0.1:{self.port}"
        self.config = self.folder / "config"
        self.user, self.password = (WRITER.user, WRITER.password) if secured else ("", "")
        self.admin = (ADMIN.user, ADMIN.password) if secured else None
        self.ca = self.config / "ca.pem" if secured else None
        """The only certificate authority that the server's certificate is good for, as a PEM file."""
        self._set_up()
        self._client = httpx.Client(
            base_url=self.url,
            auth=self.admin,
            verify=ssl.create_default_context(cafile=self.ca) if self.ca else False,
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=30,
            trust_env=False,
        )

    # --- what it runs on ----------------------------------------------------------------------------------------------
    @property
    def home(self) -> Path:
        return self.folder / "home"

    def _set_up(self) -> None:
        shutil.copytree(self.source, self.home, copy_function=link, ignore=shutil.ignore_patterns("config", "logs"))
        shutil.copytree(self.source / "config", self.config)
        (self.config / "log4j2.properties").write_text(LOGGING)
        (self.config / "opensearch.yml").write_text(self._settings() + (SECURITY_SETTINGS if self.secured else ""))
        if self.secured:
            self._secure()
        for name in ("data", "logs", "tmp"):
            (self.folder / name).mkdir()
            self.host.hand_over(self.folder / name)
        self.host.hand_over(self.config)

    def _settings(self) -> str:
        return f"""
cluster.name: vedette-tests
node.name: node
network.host: 127.0.0.1
http.port: {self.port}
transport.port: {free_port()}
discovery.type: single-node
path.data: {self.folder}/data
path.logs: {self.folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
"""

    def _secure(self) -> None:
        authority = trustme.CA()
        node = authority.issue_cert("localhost", "127.0.0.1", common_name="node")
        authority.cert_pem.write_to_path(self.config / "ca.pem")
        for certificate in node.cert_chain_pems:
            certificate.write_to_path(self.config / "node.pem", append=True)
        key = load_pem_private_key(node.private_key_pem.bytes(), None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.config / "node.key").write_bytes(pkcs8)
        security = self.config / "opensearch-security"
        shutil.copytree(self.source / "plugins/opensearch-security/config", security, dirs_exist_ok=True)
        (security / "internal_users.yml").write_text(USERS)
        for name, text in (("roles.yml", ROLE), ("roles_mapping.yml", ROLE_MAPPING)):
            with (security / name).open("a") as file:
                file.write(text)

    def environment(self) -> dict[str, str]:
        return {"OPENSEARCH_HOME": str(self.home), "OPENSEARCH_PATH_CONF": str(self.config)}

    def command(self) -> list[str]:
        java = java_home(self.java)
        assert java is not None, f"there is no Java {self.java}: make servers says how to get it"
        return [
            f"{java}/bin/java",
            *self._jvm_options(),
            "-cp",
            f"{self.home}/lib/*",
            "org.opensearch.bootstrap.OpenSearch",
        ]

    def _jvm_options(self) -> list[str]:
        return [
            *(f"-Xms{HEAP}", f"-Xmx{HEAP}", "-Xss1m"),
            *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            *(f"-Djava.io.tmpdir={self.folder}/tmp", f"-XX:ErrorFile={self.folder}/logs/hs_err_pid%p.log"),
            *(f"-D{name}={value}" for name, value in SYSTEM_PROPERTIES.items()),
            *(f"-Dopensearch.path.home={self.home}", f"-Dopensearch.path.conf={self.config}"),
            *(option.format(home=self.home) for option in JVM_OPTIONS[self.java]),
        ]

    def ready(self) -> bool:
        health = self._client.get("/_cluster/health")
        return health.is_success and health.json()["status"] in {"green", "yellow"}

    # --- what tests ask it --------------------------------------------------------------------------------------------
    def request(self, method: str, path: str, json: Any = None) -> Any:
        """Ask as the administrator and return the JSON answer of a success."""
        answer = self._client.request(method, path, json=json)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def count(self, index: str) -> int:
        """Documents of an index, alias, data stream or pattern, those just written too; 0 when there is none."""
        self._refresh(index)
        found: int = self.request("GET", f"/{index}/_count?{LENIENT}")["count"]
        return found

    def search(self, index: str, query: Mapping[str, Any] | None = None, **body: Any) -> list[dict[str, Any]]:
        """The first 10,000 hits (`_id`, `_source`, …), those just written too; none when there is no index."""
        self._refresh(index)
        body = {"query": query or {"match_all": {}}, "size": 10_000, **body}
        hits: list[dict[str, Any]] = self.request("POST", f"/{index}/_search?{LENIENT}", json=body)["hits"]["hits"]
        return hits

    def clear(self) -> None:
        """Delete all data streams, indices and templates that are not the server's own."""
        self.request("DELETE", "/_data_stream/*")
        for index in self.request("GET", "/_cat/indices?format=json&h=index"):
            if not index["index"].startswith("."):
                self.request("DELETE", f"/{index['index']}")
        self.request("DELETE", "/_index_template/*")

    def _refresh(self, index: str) -> None:
        self.request("POST", f"/{index}/_refresh?{LENIENT}")

    def close(self) -> None:
        self._client.close()


def new_opensearch_secured(host: Host) -> OpenSearch:
    fetched("opensearch-2")
    return OpenSearch(host, OPENSEARCH_2, RUNS_ON_JAVA["opensearch-2"], secured=True)


def new_opensearch_3(host: Host) -> OpenSearch:
    fetched("opensearch-3")
    return OpenSearch(host, OPENSEARCH_3, RUNS_ON_JAVA["opensearch-3"], secured=False)
