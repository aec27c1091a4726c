"""Profiles of behaviour, as the command line sees and decides them."""
