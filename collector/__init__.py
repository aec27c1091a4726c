"""Bytes in, events out: sources read an origin, decoders parse a format, enrichers add a fact.

The collector knows the outside world's shapes so that nothing after it has to. Everything it hands on is an
OCSF-shaped `vedette.schema` event; everything it cannot understand becomes a `DecodeError` with the bytes kept.
It imports neither `detectors` nor `sinks`: the three meet only in `vedette.pipeline`.
"""
