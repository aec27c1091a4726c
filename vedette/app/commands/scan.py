"""`vedette scan`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import Flag, Format, count_text, say

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from vedette.app.scan import Scan

app = App(
    name="scan",
    usage="Usage: vedette scan [OPTIONS] FILE...",
    help_epilogue="""Examples:
  vedette scan audit.log
  vedette scan --rules ./my-rules --no-default-rules audit.log.1.gz audit.log
  kubectl logs -n falco ds/falco | vedette scan --source falco --format json - | jq -r .rule

Exit status: 0 scanned, whatever was found, also where records could not be used; 1 a file could not be read, or not \
to its end (the others were scanned); 2 the call or a rule is wrong, nothing was scanned.""",
)


@app.default
def scan(
    files: Annotated[
        list[str],
        Parameter(
            name="FILE",
            allow_leading_hyphen=True,
            help="Files with one record a line, or one JSON document (an event, an array, an `EventList`); plain, gzip "
            "or zstd; `-` is standard input.",
        ),
    ],
    /,
    *,
    rules: Annotated[
        list[Path] | None,
        Parameter(
            name="--rules",
            negative="",
            help="A file or folder of rules in Sigma's or Falco's language, beside the shipped ones; can be given "
            "several times.",
        ),
    ] = None,
    no_default_rules: Annotated[
        Flag,
        Parameter(help="Leave the shipped rules out; what a record itself reports (a Falco alert) is still a finding."),
    ] = False,
    falco_compat: Annotated[
        Literal["falco", "fixed"],
        Parameter(
            help="Whose reading of an audit event counts for Falco's rules, as `rules.falco.compat`: that of Falco's "
            "k8saudit plugin, or one without its faults."
        ),
    ] = "fixed",
    rule_matching: Annotated[
        Literal["first", "all"],
        Parameter(
            help="Which of Falco's rules may match one event, as `rules.falco.rule_matching`: the first, as in Falco, "
            "or all."
        ),
    ] = "all",
    source: Annotated[
        str | None,
        Parameter(
            help="Format of all files, such as kube_audit, falco, hubble or vpc_flow. Default: each file's beginning "
            "tells."
        ),
    ] = None,
    alerts: Annotated[
        Flag, Parameter(help="Roll findings up as the agent does, and write alerts (OCSF Detection Findings) instead.")
    ] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
) -> int:
    """Look through files for what the rules detect.

    Needs no configuration, no data folder and no running agent. Several files are merged by the time of their events. \
A record that can't be used is reported on standard error as file:record: reason, and the scan goes on.
    """
    from vedette.app.config import FalcoRules  # noqa: PLC0415 - keeps the start fast
    from vedette.app.scan import Scan, check_arguments, make_scanner  # noqa: PLC0415

    check_arguments(files, source)
    falco = FalcoRules(compat=falco_compat, rule_matching=rule_matching).options()
    scanner = make_scanner(rules or [], default_rules=not no_default_rules, falco=falco)
    with _progress(files) as advance:
        scanned = Scan(scanner, complain=say, advance=advance)
        found = _put_all(scanned, files, source, alerts=alerts, as_json=format == "json")
    _summarise(scanned, found, "alert" if alerts else "finding")
    return ExitStatus.FOUND if scanned.bad_files else ExitStatus.OK


def _put_all(scanned: Scan, files: Sequence[str], source: str | None, *, alerts: bool, as_json: bool) -> Counter[str]:
    """Write everything that is found; return how many of each level."""
    from vedette.app.scan_output import put_alert, put_finding  # noqa: PLC0415 - keeps the start fast
    from vedette.pipeline.scan import Scanner, rule_of  # noqa: PLC0415

    found, scanner = Counter[str](), scanned.scanner
    hits = (scanner.correlate(hit.matches) for hit in scanned.hits(files, source))
    for findings in chain(hits, map(Scanner.close, [scanner])):
        if alerts:
            for document in scanner.add(findings):
                put_alert(document, as_json=as_json)
                found[document["severity"].lower()] += 1
            continue
        for finding in findings:
            put_finding(finding, as_json=as_json)
            found[rule_of(finding).level.value] += 1
    for document in scanner.finish():
        put_alert(document, as_json=as_json)
        found[document["severity"].lower()] += 1
    return found


def _summarise(scanned: Scan, found: Counter[str], what: str) -> None:
    order = ("critical", "high", "medium", "low", "informational")
    levels = ", ".join(f"{found[level]} {level}" for level in order if found[level])
    of_levels = f" ({levels})" if levels else ""
    say(f"{count_text(found.total(), what)}{of_levels} in {count_text(scanned.records, 'record')}")
    if scanned.bad_records:
        say(f"{count_text(scanned.bad_records, 'record')} could not be used (see above)")
    if scanned.scanner.left_out:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(scanned.scanner.left_out.items()))
        say(f"matches were left out of correlations ({reasons})")
    if scanned.bad_files:
        say(f"{count_text(scanned.bad_files, 'file')} could not be read, or not to the end (see above)")


@contextlib.contextmanager
def _progress(files: Sequence[str]) -> Generator[Callable[[str, int], None]]:
    """Show how far the scan is, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _file, _bytes: None
        return
    from rich.console import Console  # noqa: PLC0415 - keeps the start fast
    from rich.progress import Progress  # noqa: PLC0415

    sizes = {file: os.path.getsize(file) for file in files if os.path.isfile(file)}  # noqa: PTH113, PTH202
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    with Progress(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("scanning", total=sum(sizes.values()) if len(sizes) == len(files) else None)
        read: dict[str, int] = {}

        def advance(file: str, count: int) -> None:
            bar.advance(task, count - read.get(file, 0))
            read[file] = count

        yield advance
