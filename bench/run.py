"""`./cordboard bench`: starts the package `bench`, whatever folder this is called from."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module("bench", run_name="__main__")
