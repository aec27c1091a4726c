"""What the bytes say: one wire format per module, as functions from bytes to events.

A decoder is pure and total: for any input it returns events or raises `DecodeError`, and it never blocks, logs or
keeps state that a restart would lose. Decoders are strangers to each other and to the sources that feed them.
"""
