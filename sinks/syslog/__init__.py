"""Alerts, or events, as syslog: RFC 5424 over TCP or TLS, with CEF or OCSF inside, for SIEMs and for who watches them.

Syslog knows no answer, so nothing better than a careful effort can be promised: what the receiver's machine has taken
counts as delivered. What may not have got there comes again, with the same `uid`.
"""

from sinks.syslog.settings import SyslogSettings
from sinks.syslog.sink import SyslogSink

__all__ = ["SyslogSettings", "SyslogSink"]
