"""test_growth.py: the package built from another header than the library's: those kept of earlier releases, and one
of a possible later release (tests/abi)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import offhook
import pytest
from support import BINDING, ROOT, URL, deadline, unique

KEPT = sorted((ROOT / "tests" / "abi" / "headers").glob("*/offhook.h"))


@pytest.mark.parametrize("which", [*(p.parent.name for p in KEPT), "newer"])
@deadline(60)
def test_growth(which, tmp_path):
    """Calls, audio, snapshots and statistics work; options that the library does not know are refused by name."""
    sys.path.insert(0, str(BINDING))
    import cdef

    header = ROOT / "tests" / "abi" / "headers" / which / "offhook.h"
    if which == "newer":
        header = tmp_path / "newer.h"
        newer = [sys.executable, str(ROOT / "tests" / "abi" / "newer.py"), str(ROOT / "include" / "offhook.h"), str(header)]
        subprocess.run(newer, check=True)
    package = tmp_path / "offhook"
    shutil.copytree(Path(offhook.__file__).parent, package, ignore=shutil.ignore_patterns("_binding.py", "__pycache__"))
    cdef.write_module(header.read_text(), "offhook._binding", str(package / "_binding.py"))
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(BINDING / "tests" / "growth.py"), URL, unique("growth")],
        capture_output=True, text=True, timeout=50, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{'newer' if which == 'newer' else 'kept'} ok\n"), done.stdout + done.stderr
