"""Kinds of workloads as data: what they run, write, call and talk to, and how often.

Rates are per pod and hour at mean load. In paths and commands `{name}` is the workload, `{n}` a number that differs
each time, `{id}` a hexadecimal one.
"""
# ruff: noqa: S108 - paths inside simulated containers

from __future__ import annotations

from typing import Final, NamedTuple

from vedette.testing.simulator.falco import Program


class Archetype(NamedTuple):
    """One kind of workload."""

    name: str
    kind: str
    """Deployment, StatefulSet, CronJob, or Job (run by users' load, as builds are)."""
    share: float
    """Of all workloads."""
    nouns: tuple[str, ...]
    replicas: tuple[int, int]
    user: str
    port: int
    swing: float
    """How much of the load follows the day: 0 none, 1 all."""
    weekend: float
    """Load at weekends."""
    start: tuple[Program, ...]
    """Programs that a container starts with; the last one is what it is there for."""
    programs: tuple[Program, ...] = ()
    programs_h: float = 0.0
    files: tuple[str, ...] = ()
    files_h: float = 0.0
    peers: tuple[int, int] = (0, 0)
    """Services of other workloads that it talks to."""
    externals: tuple[int, int] = (0, 0)
    """Addresses outside that it talks to."""
    talks_h: float = 0.0
    """Conversations in the flow log; each is two records."""
    connects_h: float = 0.0
    """Connections that Falco tells of."""
    calls_h: float = 0.0
    """Requests to the API server."""
    scraped: bool = False
    pushes: bool = False
    """Sends to a vendor outside each minute: as regular as a beacon."""
    resource: tuple[str, str] = ("", "")
    """Group and resource that an operator looks after."""


_SH: Final = "sh"
_INIT: Final = "containerd-shim"

ARCHETYPES: Final = (
    Archetype(
        "web",
        "Deployment",
        0.32,
        ("cart", "checkout", "catalog", "search", "account", "storefront", "gateway", "pricing", "reviews", "media"),
        (2, 12),
        "node:1000",
        8080,
        0.75,
        0.7,
        (Program("/usr/local/bin/node", "node /app/server.js --service={name}", _INIT),),
        (
            Program("/bin/grpc_health_probe", "grpc_health_probe -addr=:9000", _INIT),
            Program("/usr/bin/convert", "convert /tmp/upload-{id} -resize 800x /tmp/out-{id}.webp", "node"),
            Program("/usr/local/bin/node", "node /app/worker.js --job={n}", "node"),
        ),
        0.7,
        ("/tmp/upload-{id}", "/var/log/{name}/access.log", "/var/log/{name}/access.log.{n}", "/app/cache/{id}.json"),
        0.9,
        (2, 5),
        (0, 2),
        1.7,
        1.6,
        scraped=True,
    ),
    Archetype(
        "api",
        "Deployment",
        0.22,
        ("orders", "billing", "ledger", "profile", "inventory", "shipping", "notify", "risk", "quotes", "loyalty"),
        (2, 8),
        "app:1001",
        8443,
        0.65,
        0.6,
        (Program("/opt/java/openjdk/bin/java", "java -jar /opt/{name}/{name}.jar", _INIT),),
        (Program("/opt/java/openjdk/bin/jcmd", "jcmd 1 VM.native_memory summary", _SH),),
        0.25,
        ("/var/log/{name}/app.log", "/var/log/{name}/app.log.{n}", "/tmp/hsperfdata_app/1", "/tmp/tomcat.{n}.8443"),
        1.0,
        (2, 6),
        (0, 2),
        1.8,
        1.7,
        scraped=True,
    ),
    Archetype(
        "worker",
        "Deployment",
        0.16,
        ("mailer", "indexer", "thumbnails", "settlement", "importer", "exporter", "scoring", "webhooks"),
        (1, 8),
        "worker:1002",
        9090,
        0.3,
        0.8,
        (Program("/usr/local/bin/python3.12", "python3.12 -m {name}.consumer", _INIT),),
        (
            Program("/usr/local/bin/python3.12", "python3.12 -m {name}.task --id {n}", "python3.12"),
            Program("/usr/bin/gs", "gs -sDEVICE=pdfwrite -o /tmp/{id}.pdf", "python3.12"),
        ),
        1.1,
        ("/tmp/{id}.pdf", "/tmp/tmp{id}", "/var/spool/{name}/{n}.job"),
        1.2,
        (1, 4),
        (1, 3),
        1.5,
        1.4,
        scraped=True,
    ),
    Archetype(
        "database",
        "StatefulSet",
        0.08,
        ("postgres", "mysql", "mongo", "redis", "kafka"),
        (1, 3),
        "postgres:999",
        5432,
        0.4,
        0.8,
        (Program("/usr/lib/postgresql/16/bin/postgres", "postgres -D /var/lib/postgresql/data", _INIT),),
        (Program("/usr/lib/postgresql/16/bin/pg_isready", "pg_isready -U postgres", _SH),),
        0.5,
        ("/var/lib/postgresql/data/pg_wal/{id}", "/var/lib/postgresql/data/base/{n}"),
        2.0,
        (0, 1),
        (1, 1),
        0.6,
        0.3,
        scraped=True,
    ),
    Archetype(
        "operator",
        "Deployment",
        0.06,
        ("cert-operator", "db-operator", "dns-operator", "secrets-operator", "queue-operator", "backup-operator"),
        (1, 2),
        "nonroot:65532",
        8443,
        0.1,
        0.9,
        (Program("/manager", "manager --leader-elect --metrics-bind-address=:8443", _INIT),),
        (),
        0.0,
        ("/tmp/k8s-webhook-server/serving-certs/tls.crt",),
        0.2,
        (0, 1),
        (0, 1),
        0.6,
        0.8,
        24.0,
        scraped=True,
        resource=("example.io", "certificates"),
    ),
    Archetype(
        "cron",
        "CronJob",
        0.10,
        ("report", "cleanup", "reconcile", "invoice-run", "cert-check", "sync-rates", "warm-cache"),
        (1, 1),
        "job:1003",
        0,
        0.0,
        1.0,
        (
            Program("/bin/sh", "sh -c /opt/{name}/run.sh", _INIT),
            Program("/usr/local/bin/python3.12", "python3.12 /opt/{name}/main.py --day {n}", _SH),
        ),
        (),
        0.0,
        ("/tmp/{name}-{id}.csv", "/data/out/{n}.parquet"),
        2.0,
        (1, 3),
        (0, 1),
        3.0,
        2.0,
    ),
    Archetype(
        "ci",
        "Job",
        0.04,
        ("build", "e2e", "lint", "release"),
        (1, 1),
        "runner:1004",
        0,
        1.0,
        0.1,
        (
            Program("/bin/bash", "bash -e /builds/{id}/script.sh", _INIT),
            Program("/usr/bin/git", "git clone --depth 1 https://git.example.com/{name}.git", "bash"),
        ),
        (
            Program("/usr/local/go/bin/go", "go test ./...", "make"),
            Program("/usr/bin/make", "make -j4 all", "bash"),
            Program("/usr/bin/npm", "npm ci --cache /builds/{id}", "bash"),
            Program("/usr/bin/curl", "curl -fsSL -o /builds/{id}/tool.tgz https://get.example.com/{n}.tgz", "bash"),
            Program("/usr/bin/gcc", "gcc -O2 -c /builds/{id}/main.c", "make"),
            Program("/kaniko/executor", "executor --context /builds/{id}", "bash"),
        ),
        8.0,
        ("/builds/{id}/main.o", "/builds/{id}/node_modules/{id}/index.js", "/root/.cache/go-build/{id}"),
        10.0,
        (0, 1),
        (3, 6),
        6.0,
        5.0,
    ),
    Archetype(
        "agent",
        "Deployment",
        0.02,
        ("metrics-agent", "log-shipper", "license-agent"),
        (1, 1),
        "agent:1005",
        8126,
        0.0,
        1.0,
        (Program("/opt/agent/bin/agent", "agent run -c /etc/agent/agent.yaml", _INIT),),
        (Program("/opt/agent/embedded/bin/python", "python /opt/agent/checks/disk.py", "agent"),),
        1.0,
        ("/opt/agent/run/{n}.state",),
        1.0,
        (1, 3),
        (1, 1),
        1.0,
        1.0,
        scraped=True,
        pushes=True,
    ),
)
"""All kinds; on-call people, users and the cluster's own parts are in `people` and `platform`."""
