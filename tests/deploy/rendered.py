"""What kustomize and helm make of ``deploy/``, as values."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
CHART: Final = DEPLOY / "helm" / "token-exchange-sidecar"
SHAPES: Final = ("ingress", "egress", "gateway")
KUBERNETES: Final = "1.33.0"


@dataclass(frozen=True, slots=True)
class Rendered:
    """All objects of one rendering, in its order."""

    objects: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        """The only object of a kind."""
        (found,) = self.of(kind)
        return found

    @property
    def pod(self) -> dict[str, Any]:
        """The Deployment's pod."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def sidecar(self) -> dict[str, Any]:
        """The sidecar's container, wherever in the pod it stands."""
        containers = [*self.pod.get("initContainers", ()), *self.pod["containers"]]
        (found,) = (container for container in containers if container["name"] == "sidecar")
        return dict(found)

    def config_map(self, name: str) -> dict[str, str]:
        """The files of a ConfigMap."""
        (found,) = (one for one in self.of("ConfigMap") if one["metadata"]["name"] == name)
        return dict(found["data"])


def by_kustomize(kustomize: str, shape: str) -> Rendered:
    """Render an overlay."""
    return _read([kustomize, "build", str(DEPLOY / "kustomize" / "overlays" / shape)])


def by_helm(helm: str, shape: str, *values: str) -> Rendered:
    """Render the chart with the shape's example; values: further ``--set`` arguments."""
    return _read(helm_command(helm, shape, *values))


def helm_command(helm: str, shape: str, *values: str) -> list[str]:
    """The command that renders the chart."""
    given = [argument for value in values for argument in ("--set", value)]
    example = str(CHART / "examples" / f"{shape}.yaml")
    return [helm, "template", "release", "--kube-version", KUBERNETES, "-f", example, *given, str(CHART)]


def _read(argv: list[str]) -> Rendered:
    text = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    return Rendered(tuple(found for found in yaml.safe_load_all(text) if found is not None))
