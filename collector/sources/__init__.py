"""Where telemetry comes from: one origin per module, named as its configuration key names it.

A source turns an origin (a port, a file, a topic) into records and moves its cursor, or answers its peer, only after
the journal has made those records durable. Sources are strangers to each other and know no decoder.
"""
