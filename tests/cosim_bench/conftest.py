"""The configurations of whole cores lie beside their RTL tests; these tests use them too."""

from __future__ import annotations

import sys
from pathlib import Path

# Not as rtl.gemm_core_configurations: the repository's own package of that name would be found first.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "rtl"))
