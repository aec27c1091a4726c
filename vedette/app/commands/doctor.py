"""`vedette doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import MESSAGE_CHARS_MAX, ConfigFile, DataDir, Format, count_text, put, put_json
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.app.doctor.examine import Finding

app = App(
    name="doctor",
    help_epilogue="""Examples:
  vedette doctor --config /etc/vedette.yaml
  vedette doctor --format json | jq 'select(.ok | not)'

Exit status: 0 all is well; 1 problems were found; 2 the configuration can't be used.""",
)


@app.default
def doctor(*, format: Format = "table", config: ConfigFile = None, data_dir: DataDir = None) -> int:  # noqa: A002
    """Try everything that the configuration names, and say what is wrong and what to do.

    Looks at the data folder, the rules, the system's limits, every source and every sink, with or without a running \
agent: ports are bound for a moment or asked, files are read, destinations are logged in to. Run it as the user that \
Vedette runs as. It changes nothing, and takes at most 20 s for each part, all at the same time.
    """
    # Everything heavy is imported when the command runs, not when its help is shown.
    import asyncio  # noqa: PLC0415
    import logging  # noqa: PLC0415

    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.app.doctor.examine import Finding, examine  # noqa: PLC0415
    from vedette.runtime.check import Check  # noqa: PLC0415

    loaded = load_config(config, data_dir=data_dir)
    logging.getLogger().addHandler(logging.NullHandler())  # what parts would log, they say here
    read = f"read {config}" if config else "no file is named: the defaults hold"
    findings = [Finding("configuration", Check(read)), *asyncio.run(examine(loaded))]
    if format == "json":
        for component, check in findings:
            put_json({"component": component, "ok": check.ok, **check._asdict()})
    else:
        _put_findings(findings)
    return ExitStatus.OK if all(check.ok for _, check in findings) else ExitStatus.FOUND


def _put_findings(findings: Sequence[Finding]) -> None:
    last = ""
    for component, check in findings:
        if component != last:
            put(component)
            last = component
        if check.ok:
            put(f"  ok       {_safe(check.what)}")
        else:
            put(f"  PROBLEM  {_safe(check.what)}: {_safe(check.problem)}")
            put(f"           -> {_safe(check.remedy)}")
    problems = sum(not check.ok for _, check in findings)
    put("")
    put(f"{count_text(len(findings), 'check')}, {count_text(problems, 'problem')}")


def _safe(text: str) -> str:
    return safe_text(text, MESSAGE_CHARS_MAX)
