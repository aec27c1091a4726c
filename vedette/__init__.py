"""Vedette: runtime security detection for Kubernetes and cloud workloads, as one stream that loses nothing.

Imports go one way, from the roof to the floor: `app` and `testing`, `console`, `pipeline`, then the component
packages `collector`, `detectors` and `sinks`, then `runtime`, `journal` and `schema`.
"""
