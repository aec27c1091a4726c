"""Tuning what alerts: exceptions, and rules in shadow."""
