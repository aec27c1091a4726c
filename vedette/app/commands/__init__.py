"""The commands of `vedette`, one module each; `vedette.app.cli` lists them.

A module imports at its top only what its help needs. Each exports `app`; a command returns its exit status.
"""
