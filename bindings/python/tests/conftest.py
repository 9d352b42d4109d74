"""conftest.py: the tests find support.py, and each one begins without faults at the SFU."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(autouse=True)
def no_faults():
    """Faults that stay on are a test's own: ended before and after it."""
    from support import ctl

    ctl("reset")
    yield
    ctl("reset")
