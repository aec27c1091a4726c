"""`vedette rules shadow`."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from vedette.app.terminal import ConfigFile, DataDir, Format, put, put_json, put_table, time_text
from vedette.schema.text import safe_text

app = App(
    name="shadow",
    help_epilogue="""Examples:
  vedette rules shadow
  vedette rules shadow --format json | jq -r 'select(.alerts < 10) | .title'""",
)


@app.default
def shadow(*, format: Format = "table", config: ConfigFile = None, data_dir: DataDir = None) -> int:  # noqa: A002
    """List the rules in shadow (`rules.shadow`): since when, what they found, and how many alerts that would be.

    Asks the running agent; without one it shows what the last one saved.
    """
    from vedette.app.folder_access import find_folder  # noqa: PLC0415  - keeps the start fast
    from vedette.app.tuning.unheard import read_counted  # noqa: PLC0415
    from vedette.app.workbench.rules_at_hand import open_library  # noqa: PLC0415

    counted = read_counted(find_folder(config, data_dir)).shadow
    rules = open_library([], config).rules if counted else {}
    documents = [
        {
            "id": rule_id,
            "title": rules[rule_id].info.title if rule_id in rules else rule_id,
            "level": str(rules[rule_id].info.level) if rule_id in rules else "",
            "since": time_text(tally.since_ns),
            "findings": tally.findings,
            "alerts": tally.alerts,
            "last_seen": time_text(tally.last_ns),
            "samples": [
                {"time": time_text(sample.time_ns), "seq": sample.seq, "what": sample.what} for sample in tally.samples
            ],
        }
        for rule_id, tally in counted.items()
    ]
    if format == "json":
        for document in documents:
            put_json(document)
    else:
        _put(documents)
    return 0


def _put(documents: list[dict[str, Any]]) -> None:
    put_table(
        ("LEVEL", "RULE", "SINCE", "FINDINGS", "ALERTS", "LAST SEEN"),
        [
            tuple(document[name] for name in ("level", "title", "since", "findings", "alerts", "last_seen"))
            for document in documents
        ],
    )
    for document in documents:
        if document["samples"]:
            put("")
            put(safe_text(f"The latest alerts that {document['title']} would have opened:"))
        for sample in document["samples"]:
            put(safe_text(f"  {sample['time']}  {sample['what']}"))
