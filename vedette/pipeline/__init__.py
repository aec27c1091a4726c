"""The roles of a running Vedette: intake, detect, roll up, deliver and control.

Each role is a consumer of the journal that moves its own checkpoint, so each may crash, lag or be replayed without
the others noticing. Here, and only here, collector, detectors and sinks meet.
"""
