"""Request Tracker 5 on an SQLite database of its own: nothing of the machine's own configuration of it is read.

What RT 5.0.3 was seen to do over REST 2, beyond its documentation:

- A ticket is found at once after its create, by `'CF.{NAME}' = 'VALUE'`, a backslash before each backslash and quote of
  the value. The comparison ignores case (on SQLite).
- A create whose client gave up is done all the same once RT gets to it.
- A custom field that does not exist is no error: a create drops the value and answers 201, a search finds nothing.
- `PUT /ticket/ID {"MergeInto": KEPT}` merges. It answers 200 with a list of sentences whatever happened ("Merge
  Successful", "New ticket doesn't exist", "Permission Denied"); a second time, "Can't merge a ticket into itself". What
  tells is a read afterwards: `GET /ticket/ID` answers with `"id": KEPT`. It needs ModifyTicket on both tickets.
- After a merge, searches find the kept ticket alone, by its own custom field: the other's value is no longer found. The
  old number still works as an address: what is written to it goes to the kept ticket, which has both histories.
- Likewise a PUT that RT refuses in part (a status that does not exist) answers 200; only the sentences say so.
- `GET /ticket/ID/attachments?fields=Content,TransactionId` reads the texts of a ticket's creation and of all its
  comments in one request, at most 100 a page. `Content LIKE` finds nothing unless full-text search is configured.
- Every request with a password costs a bcrypt hash: 0.17 s at RT's default, which the tests turn down.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import Any, Final, NamedTuple

import httpx

from .fetch import fetched
from .process import Host, Server, ServerError

ROOT: Final = ("root", "root-Passw0rd")
QUEUE: Final = "SOC"
FIELD: Final = "Vedette-Reference"
USER: Final = ("vedette", "tr@cker: Passw0rd")
RIGHTS: Final = (
    "SeeQueue",
    "CreateTicket",
    "ShowTicket",
    "ShowTicketComments",
    "ModifyTicket",
    "CommentOnTicket",
    "ReplyToTicket",
    "SeeCustomField",
    "ModifyCustomField",
)

PAGE: Final = 100
"""Items that REST 2 gives at most at a time."""

INITIAL_DATA: Final = f"""
@Queues = ({{ Name => '{QUEUE}', Description => 'Security incidents' }});
@CustomFields = ({{ Name => '{FIELD}', Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', MaxValues => 1,
                    ApplyTo => '{QUEUE}' }});
@Users = ({{ Name => '{USER[0]}', Password => '{USER[1]}', EmailAddress => 'vedette@example.test', Privileged => 1 }});
@ACL = (map {{ {{ UserId => '{USER[0]}', Queue => '{QUEUE}', Right => $_ }} }} qw({" ".join(RIGHTS)}));
1;
"""


class Transaction(NamedTuple):
    """One entry of a ticket's history; `content` is empty where the entry has no text."""

    type: str
    creator: str
    content: str


class Ticket(NamedTuple):
    """A ticket as RT shows it now."""

    id: int
    subject: str
    status: str
    reference: str
    history: list[Transaction]

    @property
    def comments(self) -> list[str]:
        return [entry.content for entry in self.history if entry.type == "Comment"]


class RequestTracker(Server):
    """A tracker with the queue `queue`, whose tickets have the custom field `field` (free text, one value).

    `user` with `password` has `RIGHTS` in that queue and nothing else; `admin` (user, password) may do everything.
    `url` is the web address, REST 2 is below it at /REST/2.0. There is one worker, so requests wait for each other.
    """

    def __init__(self, host: Host) -> None:
        fetched("request-tracker")
        super().__init__(host, "request-tracker")
        self.url = f"http://127.0.0.1:{self.port}"
        self.user, self.password = USER
        self.admin = ROOT
        self.queue, self.field = QUEUE, FIELD
        self.database = self.folder / "rt.sqlite"
        self.template = self.folder / "template.sqlite"
        self._set_up()
        self._client = httpx.Client(base_url=f"{self.url}/REST/2.0", auth=ROOT, timeout=60, trust_env=False)

    # --- what it runs on ----------------------------------------------------------------------------------------------
    def _set_up(self) -> None:
        for name in ("conf.d", "mason", "session"):
            (self.folder / name).mkdir()
        (self.folder / "RT_SiteConfig.pm").write_text(self._settings())
        (self.folder / "password").write_text(ROOT[1])
        (self.folder / "initialdata").write_text(INITIAL_DATA)
        self.host.hand_over(self.folder)
        self._setup_database("init", "--root-password-file", str(self.folder / "password"))
        self._setup_database("insert", "--datafile", str(self.folder / "initialdata"))
        shutil.copyfile(self.database, self.template)

    def _settings(self) -> str:
        return f"""
Set($rtname, 'example.test'); Set($Organization, 'example.test'); Set($Timezone, 'UTC');
Set($WebDomain, '127.0.0.1'); Set($WebPort, {self.port}); Set($WebPath, ''); Set($WebBaseURL, '{self.url}');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{self.database}');
Set($MailCommand, 'testfile');  # no mail leaves
Set($BcryptCost, 4);  # each request hashes its password: 0.17 s at the default
Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning'); Set($LogToFile, undef); Set($StatementLog, undef);
Set($WebSessionClass, 'Apache::Session::File');
Set($RestrictReferrer, 0); Set(%FullTextSearch, Enable => 0);
$RT::MasonDataDir = '{self.folder}/mason'; $RT::MasonSessionDir = '{self.folder}/session';
1;
"""

    def _setup_database(self, action: str, *arguments: str) -> None:
        command = ["/usr/sbin/rt-setup-database-5", "--action", action, *arguments]
        process = self.host.spawn(command, self.folder, self.log, self.environment())
        status = process.wait()
        self.host.end(process)
        if status:
            raise ServerError(f"rt-setup-database-5 --action {action} ended with {status}{self.tail()}")

    def environment(self) -> dict[str, str]:
        site = {"RT_SITE_CONFIG": "RT_SiteConfig.pm", "RT_SITE_CONFIG_DIR": "conf.d"}
        return {variable: str(self.folder / name) for variable, name in site.items()}

    def command(self) -> list[str]:
        # One worker: with two, parallel creates wait for each other's locks beyond any client's patience.
        server = ["/usr/share/request-tracker5/libexec/rt-server", "--server", "Starman", "--workers", "1"]
        return [*server, "--disable-keepalive", "--host", "127.0.0.1", "--port", str(self.port)]

    def ready(self) -> bool:
        return self._client.get("/rt").is_success

    # --- what tests ask it --------------------------------------------------------------------------------------------
    def request(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """Ask REST 2 as root and return the JSON answer of a success."""
        answer = self._client.request(method, path, json=json, params=params)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def tickets(self) -> list[Ticket]:
        """All tickets by number, with their histories. Merged ones are part of the ticket that was kept."""
        found = self._items("/tickets", query="id > 0", fields="Subject,Status,CustomFields")
        return [self._ticket(item) for item in found]

    def _ticket(self, item: dict[str, Any]) -> Ticket:
        path = f"/ticket/{item['id']}"
        references = [value for field in item["CustomFields"] if field["name"] == FIELD for value in field["values"]]
        texts: dict[str, str] = {}
        for part in self._items(f"{path}/attachments", fields="Content,TransactionId"):
            texts[part["TransactionId"]] = texts.get(part["TransactionId"], "") + (part["Content"] or "")
        history = [
            Transaction(entry["Type"], entry["Creator"]["id"], texts.get(entry["id"], ""))
            for entry in self._items(f"{path}/history", fields="Type,Creator")
        ]
        return Ticket(int(item["id"]), item["Subject"], item["Status"], "".join(references), history)

    def _items(self, path: str, **params: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        items: list[dict[str, Any]] = []
        page = 0
        while len(items) == page * PAGE:
            page += 1
            items += self.request("GET", path, per_page=PAGE, page=page, **params)["items"]
        return items

    def reset(self) -> None:
        """Back to no tickets, without a restart."""
        with closing(sqlite3.connect(self.template)) as template, closing(sqlite3.connect(self.database)) as database:
            template.backup(database)

    def close(self) -> None:
        self._client.close()
