"""Profiles: what each workload, user, service account, network, node and namespace usually does.

`store` learns them and says what is outside of one; detectors judge that (`detectors.behaviour.profile`, `new_edge`).
`reading` shows them to people and to whoever makes policies of them.
"""
