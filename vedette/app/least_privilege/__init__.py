"""Least privilege out of what was learned: RBAC roles and network policies, and what they would have blocked."""
