"""`vedette profiles role` and `vedette profiles network-policy`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, DataDir, Flag, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vedette.app.least_privilege.dry_run import DryRun, Permissions
    from vedette.journal.sqlite import DataFolder

Cluster = Annotated[str, Parameter(help="Of this cluster, where several have one of that name.")]
Unchecked = Annotated[Flag, Parameter(name="--no-dry-run", negative="", help="Do not hold it against the archive.")]

role_app = App(
    name="role",
    help_epilogue="""Examples:
  vedette profiles role shop/cart > cart-role.yaml

Exit status: 0 written, and the archive holds nothing that it would have blocked; 1 it would have blocked something; \
2 there is no such profile.""",
)
policy_app = App(
    name="network-policy",
    help_epilogue="""Examples:
  vedette profiles network-policy shop/cart --label app.kubernetes.io/name > cart-policy.yaml

Exit status: 0 written, and the archive holds nothing that it would have blocked; 1 it would have blocked something; \
2 there is no such profile.""",
)


@role_app.default
def role(
    account: Annotated[str, Parameter(help="The service account, as namespace/name or as the API server names it.")],
    /,
    *,
    cluster: Cluster = "",
    unchecked: Unchecked = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Write an RBAC role of what a service account was seen to do, and no more.

    Its head says what it was learned from and, after a dry run over the archive, what it would have blocked.
    """
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.least_privilege.from_profiles import learned_calls  # noqa: PLC0415
    from vedette.app.least_privilege.rbac import Rbac, account_of  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    whose = account_of(account)
    learned = learned_calls(folder, f"system:serviceaccount:{whose.namespace}:{whose.name}", cluster)
    found = Rbac(whose, learned.calls)
    run = None if unchecked else _dry_run(found, config, folder, learned.basis.since_ns)
    sys.stdout.write(found.text(learned.basis, [*learned.left_out, *_sentences(run)]))
    return _status(run)


@policy_app.default
def network_policy(
    workload: Annotated[str, Parameter(help="The workload, as namespace/name.")],
    /,
    *,
    label: Annotated[str, Parameter(help="The label of pods that holds the name of their workload.")] = "app",
    cluster: Cluster = "",
    unchecked: Unchecked = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Write a NetworkPolicy of whom a workload was seen to talk to, and of name resolution.

    Its head says what it was learned from and, after a dry run over the archive, what it would have blocked.
    """
    from vedette.app.folder_access import find_folder  # noqa: PLC0415 - keeps the start fast
    from vedette.app.least_privilege.from_profiles import learned_peers  # noqa: PLC0415
    from vedette.app.least_privilege.network_policy import NetworkPolicy, workload_of  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    whose = workload_of(workload)
    learned = learned_peers(folder, *whose, cluster)
    found = NetworkPolicy(whose, learned.peers, label)
    run = None if unchecked else _dry_run(found, config, folder, learned.basis.since_ns)
    sys.stdout.write(found.text(learned.basis, [*learned.left_out, *_sentences(run)]))
    return _status(run)


def _dry_run(found: Permissions, config: Path | None, folder: DataFolder, since_ns: int) -> DryRun:
    from vedette.app.config_file import load_config  # noqa: PLC0415 - keeps the start fast
    from vedette.app.least_privilege.archive import observed  # noqa: PLC0415
    from vedette.app.least_privilege.dry_run import dry_run  # noqa: PLC0415

    settings = load_config(config).detection_settings()
    run = dry_run(found, (seen for seen in observed(folder, settings) if seen.time_ns >= since_ns))
    for line in run.sentences():
        say(line)
    return run


def _sentences(run: DryRun | None) -> Sequence[str]:
    return ["No dry run was made."] if run is None else run.sentences()


def _status(run: DryRun | None) -> ExitStatus:
    return ExitStatus.FOUND if run is not None and run.blocked else ExitStatus.OK
