"""The rules that ship with Vedette: one directory per pack, each rule beside the tests that prove it.

The packs are package data, so the wheel carries them and an upgrade of Vedette is an upgrade of its rules.
"""
