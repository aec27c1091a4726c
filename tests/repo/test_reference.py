"""The reference is written from the code: pages are what the generator makes of them, and nothing lacks a meaning."""

import pytest

from tools.reference import alert_fields, cli, metrics
from tools.reference.__main__ import DOCS, PAGES
from vedette.app.cli import build_app
from vedette.pipeline.document_fields import FIELDS


@pytest.mark.parametrize("name", PAGES)
def test_the_page_says_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text("utf-8")
    assert page == PAGES[name](page), f"docs/{name} is not up to date: run `make docs` and look at the difference"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("capacity.md", "| open files |"),
        ("cli.md", "| Read and check everything, and tell what would change. |"),
        ("configuration.md", "| Where records come from: a name for each source, and exactly one kind. |"),
        ("metrics.md", "| Alerts opened. |"),
        ("reference/alert-fields.md", "| Findings so far. |"),
    ],
)
def test_the_generator_mends_what_somebody_changed_by_hand(name: str, said: str) -> None:
    page = (DOCS / name).read_text("utf-8")
    assert page.count(said) == 1
    assert PAGES[name](page.replace(said, "| Something else. |")) == page


def test_every_argument_says_what_it_means() -> None:
    silent = [
        (*words, argument.names[0])
        for words, app in cli.commands(build_app())
        for argument in app.assemble_argument_collection()
        if not argument.parameter.help
    ]
    assert silent == [], "give it a `help`"


def test_every_metric_says_what_it_means() -> None:
    rows = metrics.rows()
    assert {"vedette_records_received_total", "vedette_rule_info", "vedette_delivery_send_seconds"} <= rows.keys()
    assert [name for name, row in rows.items() if row.count("|") != 5 or row.endswith("|  |")] == []


def test_every_field_of_an_alert_is_described_and_nothing_else() -> None:
    assert alert_fields.types().keys() == alert_fields.meanings().keys(), "vedette/pipeline/document_fields.py"


def test_a_field_that_nobody_described_stops_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: meaning for name, meaning in FIELDS.items() if name != "message"}
    monkeypatch.setattr(alert_fields, "FIELDS", others)  # a key taken out of it and put back would be its last
    with pytest.raises(KeyError, match=r"document_fields.py.*\['message'\]"):
        alert_fields.render("")
