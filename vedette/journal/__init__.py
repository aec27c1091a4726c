"""What makes a promise keepable: the durable log, its checkpoints and the ledger that proves nothing was lost.

A record is acknowledged to its sender once it is here, and leaves once every destination has settled it. The
protocol is separate from the store that implements it, and only this package and `sinks.store` import that store's
client library.
"""
