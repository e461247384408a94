"""The generator of pages is imported as `docs/generate.py` imports it."""

import sys

from docs.blocks import ROOT

sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "docs" / "pictures")]
