"""Lays out the image's file system: ``python assemble.py SITE ROOT``.

SITE is where pip put the sidecar and its dependencies. ROOT becomes a folder with the running interpreter, its standard
library, the shared libraries that these and SITE need, the system's certificate authorities, a user, and nothing else.
The same input gives the same bytes: byte code is compiled without times in it, and every file gets SOURCE_DATE_EPOCH.
Uses the standard library and ``ldd`` alone.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

USER: Final = 65532
#: Parts of the standard library that no server imports; the rest stays, since what is imported late would be missed.
LEFT_OUT: Final = frozenset(
    {"__pycache__", "_pyrepl", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests"}
    | {"tkinter", "turtle.py", "turtledemo", "venv"}
)
LEFT_OUT_PREFIXES: Final = (
    "config-",
    "_test",
    "_xxtest",
    "xxlimited",
    "_tkinter",
    "_ctypes_test",
    "_curses",
    "readline",
)
AUTHORITIES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def main(site: Path, root: Path) -> None:
    """Write ROOT anew and print the digest of all that is in it."""
    root.mkdir(parents=True)
    stdlib = Path(sysconfig.get_path("stdlib"))
    library = root / stdlib.relative_to("/")
    shutil.copytree(stdlib, library, ignore=_unneeded)
    packages = library / "site-packages"
    shutil.copytree(site, packages, ignore=shutil.ignore_patterns("__pycache__", "bin"))
    interpreter = Path(sys.executable).resolve()
    _copy(interpreter, root)
    (root / "python").symlink_to(interpreter)
    for library_file in sorted(_shared_libraries([interpreter, *_binaries(stdlib, library), *site.rglob("*.so")])):
        _copy(Path(library_file), root)
    _compile(library, root)
    _system_files(root)
    _same_modes_and_times(root, interpreter, int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    print(_digest(root))


def _unneeded(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIXES)}


def _binaries(stdlib: Path, kept: Path) -> Iterator[Path]:
    """The extension modules of the standard library that were kept, where they came from."""
    for path in kept.rglob("*.so"):
        if "site-packages" not in path.parts:
            yield stdlib / path.relative_to(kept)


def _shared_libraries(binaries: Iterable[Path]) -> set[str]:
    """Paths of all shared libraries that these need, the loader included. RuntimeError: one is missing."""
    needed: set[str] = set()
    for binary in binaries:
        listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            name, arrow, where = line.strip().partition(" => ")
            path = (where if arrow else name).split(" (")[0].strip()
            if path == "not found":
                raise RuntimeError(f"{binary} needs {name}, which is not there")
            if path.startswith("/"):
                needed.add(path)
    return needed


def _copy(source: Path, root: Path) -> None:
    """Copy a file to its own path below root; a link's path gets the file itself."""
    destination = root / source.relative_to("/")
    if not destination.exists():
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.resolve(), destination)


def _compile(library: Path, root: Path) -> None:
    """Write byte code that is never held against a file's time; the file system is read-only and has one time."""
    done = compileall.compile_dir(
        library,
        quiet=1,
        stripdir=str(root),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        maxlevels=20,
    )
    if not done:
        raise RuntimeError("not everything could be compiled")


def _system_files(root: Path) -> None:
    """Write what programs look for in every system: a user, how names are looked up, whom TLS may trust."""
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(f"root:x:0:0::/:/none\nsidecar:x:{USER}:{USER}::/:/none\n")
    (etc / "group").write_text(f"root:x:0:\nsidecar:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    bundle = next((Path(path) for path in AUTHORITIES if Path(path).exists()), None)
    if bundle is None:
        raise RuntimeError("no certificate authorities to take along: is ca-certificates installed?")
    one, other = (root / path.lstrip("/") for path in (AUTHORITIES[0], ssl.get_default_verify_paths().openssl_cafile))
    for path in (one, other):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle, one)
    if other != one:  # where this OpenSSL looks
        other.symlink_to(AUTHORITIES[0])
    for folder in ("tmp", "etc/token-exchange-sidecar", "proc", "dev"):
        (root / folder).mkdir(exist_ok=True)


def _same_modes_and_times(root: Path, interpreter: Path, epoch: int) -> None:
    """Make everything readable for all, writable for root alone, and only what is run executable."""
    run = root / interpreter.relative_to("/")
    for path in _everything(root):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path == run or ".so" in path.suffixes else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))


def _digest(root: Path) -> str:
    """SHA-256 over names, modes and contents."""
    digest = hashlib.sha256()
    for path in _everything(root):
        content = str(path.readlink()).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        head = f"{path.relative_to(root)}\0{path.lstat().st_mode:o}\0{len(content)}\0"
        digest.update(head.encode() + content)
    return digest.hexdigest()


def _everything(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} SITE ROOT")
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute())
