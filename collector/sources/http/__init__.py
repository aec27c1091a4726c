"""The HTTP port: Falco's `http_output`, the API server's audit webhook, and any shipper that can POST.

An HTTP/1.1 server of our own, an `asyncio.Protocol` over httptools (llhttp), because the answer must wait for the group
commit and a small Falco POST must cost little: see `docs/sources/http.md` for the measured figures. A request ends when
the intake has settled its parcel; the source ends with `stop`.
"""

from collector.sources.http.settings import HttpSettings
from collector.sources.http.source import HttpSource

__all__ = ["HttpSettings", "HttpSource"]
