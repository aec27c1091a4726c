"""The roof: command line, configuration, wiring, health and lifecycle.

It turns a configuration file into a running pipeline or into a `ConfigError` (exit status 2) that says what is wrong,
where, and what to do. Nothing imports it.
"""
