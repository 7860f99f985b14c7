"""Programs built from their released modules with the machine's Go and kept in the checkout's ``.cache``."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).parents[2] / ".cache"
MODULES: Final = {
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1",
    "helm": "helm.sh/helm/v3/cmd/helm@v3.19.0",
    "caddy": "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9",
    "opa": "github.com/open-policy-agent/opa@v1.9.0",
}
BUILD_TIMEOUT: Final = 900.0
#: Checks objects against Kubernetes' own schemas without a cluster; kept apart, since nothing else needs it.
VALIDATOR_LOCK: Final = Path(__file__).with_name("requirements.lock")


class Unavailable(Exception):
    """This machine can't have the program; the message says why."""


def program(name: str) -> str:
    """Return the path of a program, building it first where it is not there yet. Unavailable: it can't be had."""
    path = CACHE / "go" / name
    with _lock(f"{name}.lock"):
        if not path.exists():
            go = shutil.which("go")
            if go is None:
                raise Unavailable(f"{name} is built with Go, and there is none")
            built = _run([go, "install", MODULES[name]], {**os.environ, "GOBIN": str(path.parent), "CGO_ENABLED": "0"})
            if built.returncode != 0:
                raise Unavailable(f"{name} can't be built: {built.stderr.strip().splitlines()[-1:]}")
    return str(path)


def validator() -> str:
    """Return the folder that ``kubernetes_validate`` is imported from. Unavailable: it can't be had."""
    path = CACHE / "kubernetes-validate"
    with _lock("kubernetes-validate.lock"):
        if not path.exists():
            part = path.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            got = _run([*pip, "--require-hashes", "--target", str(part), "-r", str(VALIDATOR_LOCK)], os.environ.copy())
            if got.returncode != 0:
                raise Unavailable("kubernetes-validate can't be installed")
            part.rename(path)
    return str(path)


def _run(argv: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{argv[0]} took longer than {BUILD_TIMEOUT:.0f} seconds") from None


class _lock:  # noqa: N801 - used like a function
    """One run at a time makes what is missing; the others wait for it."""

    def __init__(self, name: str) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        self._file = (CACHE / name).open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
