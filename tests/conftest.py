"""What every test shares: real servers, and Hypothesis without deadlines, since a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("vedette", deadline=None, print_blob=True)
settings.load_profile("vedette")

pytest_plugins = ["tests.servers.fixtures"]
