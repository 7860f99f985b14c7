"""The product runs as the manifests say: their arguments, files and restrictions, and nothing beyond."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.image import Image
from tests.deploy.rendered import SHAPES, by_kustomize

pytestmark = pytest.mark.interop

#: What is asked of each shape: host, port, path, and the audience of the caller's token.
REQUESTS = {
    "ingress": ("orders.example.com", 8080, "/orders/17", "orders-gateway"),
    "egress": ("127.0.0.1", 8081, "/payments/4", "orders-gateway"),
    "gateway": ("orders.example.com", 8080, "/17", "gateway"),
}


@pytest.fixture(scope="module", autouse=True)
def root_only() -> None:
    """Skip where namespaces can't be made."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("only root can make the namespaces (unshare, ip) that a pod lives in")


def life(kustomize: str, image: Image, folder: Path, shape: str) -> dict[str, Any]:
    """Run a pod of this shape in a network of its own and return what was seen."""
    spec = {
        "shape": shape,
        "objects": by_kustomize(kustomize, shape).objects,
        "image": {**asdict(image), "root": str(image.root)},
        "folder": str(folder),
        "request": REQUESTS[shape],
    }
    file = folder / "pod.json"
    file.write_text(json.dumps(spec))
    argv = ["unshare", "--net", sys.executable, "-m", "tests.deploy.pod", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize("shape", SHAPES)
def test_it_serves_under_the_restrictions_of_its_manifest(
    kustomize: str, own_image: Image, tmp_path: Path, shape: str
) -> None:
    seen = life(kustomize, own_image, tmp_path, shape)

    assert seen["ready"], seen["log"]
    assert seen["process"] == {
        "user": ["65532"] * 4,
        "group": ["65532"] * 4,
        "capabilities": ["0000000000000000"] * 4,
        "no_new_privileges": "1",
        "root_is_writable": False,
    }
    assert seen["probes"] == {"readinessProbe": True, "livenessProbe": True}
    assert seen["without_token"] == {"status": 401, "problem": "missing-token"}
    assert seen["with_token"] == {"status": 200, "problem": ""}, seen["log"]
    assert seen["exchanges"] == 1
    assert seen["exit_status"] == 0, seen["log"]

    (forwarded,) = (one for one in seen["upstream"] if one["authorization"])
    assert forwarded["authorization"] != [f"Bearer {seen['token']}"]
    for line in seen["log"].splitlines():
        json.loads(line)
    assert seen["token"] not in seen["log"]
