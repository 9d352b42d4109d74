"""setup.py: builds the wheel from an installed (or staged) library.

The library is found by OFFHOOK_LIBRARY (the path of liboffhook.so), else by pkg-config. Its header is the one beside it
(../include/offhook.h), or OFFHOOK_HEADER. The wheel holds the library, stripped where `strip` is at hand, and a module
that cffi makes from the header; no compiler is needed.

The wheel is tagged py3-none-linux_MACHINE: its own code is Python for every version, and the library needs the glibc of
the machine that it was built on, or a newer one. `auditwheel repair` gives it a manylinux tag where that is possible.

The wheel carries the licences of what is linked into the library: THIRD-PARTY.txt of the installed library, or made by
scripts/third-party.py in the sources, or the file that OFFHOOK_THIRD_PARTY names.
"""

import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cdef  # noqa: E402

SONAME = "liboffhook.so.1"


def find() -> "tuple[Path, Path]":
    """The library and its header."""
    library = os.environ.get("OFFHOOK_LIBRARY")
    header = os.environ.get("OFFHOOK_HEADER")
    if not library:
        try:
            ask = ["pkg-config", "--variable=libdir", "offhook"]
            libdir = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                "offhook: the library was not found. Install it (make install) so that `pkg-config offhook` knows it,"
                f" or set OFFHOOK_LIBRARY to the path of liboffhook.so ({error})"
            ) from None
        library = f"{libdir}/{SONAME}"
    found = Path(library)
    if not found.exists():
        raise SystemExit(f"offhook: there is no library at {found}")
    beside = Path(header) if header else found.absolute().parent.parent / "include" / "offhook.h"
    if not beside.exists():
        raise SystemExit(f"offhook: there is no header at {beside}; set OFFHOOK_HEADER")
    return found, beside


ROOT = Path(__file__).resolve().parents[2]


def licences(library: Path) -> "dict[str, bytes]":
    """The texts that the wheel must contain: the project's own, and those of what is linked into the library."""
    folders = [parent / "share" / "doc" for parent in library.absolute().parents]
    documents = [d for folder in folders for d in (folder / "offhook", folder / "liboffhook1") if d.is_dir()]
    texts = {}
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        found = next((d / name for d in (ROOT, *documents) if (d / name).is_file()), None)
        if found is None:
            raise SystemExit(f"offhook: {name} is neither in {ROOT} nor where the library was installed")
        texts[name] = found.read_bytes()
    named = os.environ.get("OFFHOOK_THIRD_PARTY")
    for file in [Path(named)] if named else [d / n for d in documents for n in ("THIRD-PARTY.txt", "THIRD-PARTY.txt.gz")]:
        if named or file.is_file():
            texts["THIRD-PARTY.txt"] = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            return texts
    script = ROOT / "scripts" / "third-party.py"
    try:
        made = subprocess.run([sys.executable, str(script), "offhook"], cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            "offhook: THIRD-PARTY.txt, the licences of what is linked into the library, was not found beside it (share/doc/offhook)"
            " and could not be made (scripts/third-party.py): set OFFHOOK_THIRD_PARTY to its path"
        ) from None
    texts["THIRD-PARTY.txt"] = made.stdout
    return texts


class Build(build_py):
    """Python files, with the library and the module generated from its header beside them."""

    def run(self) -> None:
        super().run()
        library, header = find()
        package = Path(self.build_lib) / "offhook"
        package.mkdir(parents=True, exist_ok=True)
        cdef.write_module(header.read_text(), "offhook._binding", str(package / "_binding.py"))
        inside = package / SONAME
        if inside.exists():
            inside.unlink()
        shutil.copyfile(library, inside)
        strip = shutil.which("strip")
        if strip and os.environ.get("OFFHOOK_STRIP") != "0":
            subprocess.run([strip, "--strip-unneeded", str(inside)], check=True)
        inside.chmod(0o755)
        for name, text in licences(library).items():
            (package / name).write_bytes(text)


class Wheel(bdist_wheel):
    """For every Python 3, and for this platform only."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> "tuple[str, str, str]":
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        return "py3", "none", platform


class Binary(Distribution):
    """A distribution with a binary in it."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel}, distclass=Binary)
