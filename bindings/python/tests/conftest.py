"""conftest.py: makes support.py importable, and starts each test without faults at the SFU."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(autouse=True)
def no_faults():
    """Faults belong to one test: reset before and after it."""
    from support import ctl

    ctl("reset")
    yield
    ctl("reset")
