"""The generators of the reference are scripts of the repository, not part of what is installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # at the end: what is installed comes first
