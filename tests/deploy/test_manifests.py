"""The manifests: both ways of making them agree, Kubernetes' own schemas take them, mistakes in values are named."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

import sidecar
from tests.deploy import tools
from tests.deploy.rendered import CHART, DEPLOY, KUBERNETES, SHAPES, Rendered, by_helm, by_kustomize, helm_command

pytestmark = pytest.mark.interop

#: What the chart adds or names otherwise, and what a chart leaves to others.
CHART_LABELS = {"app.kubernetes.io/managed-by", "helm.sh/chart"}
#: Kinds that belong to the Prometheus operator, for which Kubernetes has no schema.
FOREIGN = {"PodMonitor", "ServiceMonitor"}
VALIDATE = f"""
import json, sys
import kubernetes_validate
for one in json.load(sys.stdin):
    kubernetes_validate.validate(one, "{KUBERNETES.rpartition(".")[0]}", strict=True)
"""

every_shape = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(scope="session")
def validator() -> str:
    """The folder with Kubernetes' schemas and what checks against them."""
    try:
        return tools.validator()
    except tools.Unavailable as reason:
        pytest.skip(str(reason))


def checked(validator: str, objects: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """Hold objects against the schemas, in which unknown members are errors."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VALIDATE],
        input=json.dumps(objects),
        env={"PYTHONPATH": validator},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def comparable(rendered: Rendered) -> dict[tuple[str, str], Any]:
    """What two renderings must agree on: everything but names of ConfigMaps, namespaces and the tool's own labels."""
    found = {}
    for one in rendered.objects:
        text = json.dumps(one)
        text = re.sub(r'"(?:orders|gateway)-(sidecar-[a-z-]+)"', r'"\1"', text)
        copy = json.loads(text)
        copy["metadata"].pop("namespace", None)
        for label in CHART_LABELS:
            copy["metadata"].get("labels", {}).pop(label, None)
        if copy["kind"] == "Secret":
            continue  # the chart expects one to be there
        if copy["kind"] == "ConfigMap":
            copy["data"] = {name: yaml.safe_load(text) for name, text in copy["data"].items()}
        if copy["kind"] == "Deployment":
            for container in [
                *copy["spec"]["template"]["spec"].get("initContainers", ()),
                *copy["spec"]["template"]["spec"]["containers"],
            ]:
                container.pop("imagePullPolicy", None)
                for name in ("ports", "volumeMounts"):
                    container[name] = sorted(container.get(name, ()), key=lambda one: str(one["name"]))
            copy["spec"]["template"]["spec"]["volumes"].sort(key=lambda volume: volume["name"])
        found[copy["kind"], copy["metadata"]["name"]] = copy
    return found


@every_shape
def test_kustomize_and_helm_make_the_same(kustomize: str, helm: str, shape: str) -> None:
    assert comparable(by_helm(helm, shape)) == comparable(by_kustomize(kustomize, shape))


@every_shape
def test_kubernetes_takes_every_object(kustomize: str, validator: str, shape: str) -> None:
    objects = [one for one in by_kustomize(kustomize, shape).objects if one["kind"] not in FOREIGN]
    done = checked(validator, objects)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_schemas_would_find_a_typo(kustomize: str, validator: str) -> None:
    deployment = by_kustomize(kustomize, "ingress").one("Deployment")
    deployment["spec"]["template"]["spec"]["initContainers"][0]["readinesProbe"] = {}
    assert "readinesProbe" in checked(validator, [deployment]).stderr


@every_shape
def test_every_pod_is_as_confined_as_the_strictest_profile_asks(kustomize: str, shape: str) -> None:
    """Kubernetes' Pod Security Standards, profile ``restricted``."""
    pod = by_kustomize(kustomize, shape).pod
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)


@every_shape
def test_selectors_select_this_pod_and_no_other(kustomize: str, shape: str) -> None:
    rendered = by_kustomize(kustomize, shape)
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        *(one["spec"]["selector"] for one in rendered.of("Service")),
        *(one["spec"]["podSelector"]["matchLabels"] for one in rendered.of("NetworkPolicy")),
        *(one["spec"]["selector"]["matchLabels"] for one in rendered.of("PodDisruptionBudget")),
        *(one["spec"]["selector"]["matchLabels"] for one in rendered.of("PodMonitor")),
        rendered.one("Deployment")["spec"]["selector"]["matchLabels"],
    ]
    assert len(selectors) >= 4
    for selector in selectors:
        assert selector, "an empty selector is every pod of the namespace"
        assert selector.items() <= labels.items()


def test_in_front_of_an_application_only_the_sidecar_is_reached(kustomize: str) -> None:
    rendered = by_kustomize(kustomize, "ingress")
    reached = {
        port["port"] for rule in rendered.one("NetworkPolicy")["spec"]["ingress"] for port in rule.get("ports", ())
    }
    assert reached == {"http", "admin"}
    assert {port["name"] for port in rendered.sidecar["ports"]} == reached
    assert {port["targetPort"] for port in rendered.one("Service")["spec"]["ports"]} == {"http"}
    assert all(rule.get("ports") for rule in rendered.one("NetworkPolicy")["spec"]["ingress"]), "no ports is all ports"


@every_shape
def test_the_image_is_of_this_version(kustomize: str, helm: str, shape: str) -> None:
    for rendered in (by_kustomize(kustomize, shape), by_helm(helm, shape)):
        assert rendered.sidecar["image"] == f"token-exchange-sidecar:{sidecar.__version__}"


@every_shape
def test_a_pod_ends_within_its_time(kustomize: str, shape: str) -> None:
    """The application's sleep and both halves of the drain fit into the grace period, with time to write receipts."""
    rendered = by_kustomize(kustomize, shape)
    drain = yaml.safe_load(rendered.config_map("sidecar-config")["routes.yaml"])["gateway"]["drain"]
    slept = sum(
        container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        for container in rendered.pod["containers"]
    )
    ours = sum(int(drain[part].removesuffix("s")) for part in ("delay", "grace"))
    assert slept + ours <= rendered.pod["terminationGracePeriodSeconds"] - 4
    assert bool(slept) != bool(int(drain["delay"].removesuffix("s"))), "one of the two waits for the endpoint to go"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("shap=ingress", "shap"),
        ("shape=sideways", "shape"),
        ("image.tagg=1", "tagg"),
        ("networkPolicy.enabled=perhaps", "enabled"),
        ("config.admin.listen=127.0.0.1:9090", "listen"),
        ("config.version=2", "version"),
        ("autoscaling.minReplicas=none", "minReplicas"),
        ("name=Not_A_Name", "name"),
    ],
)
def test_a_mistake_in_the_values_is_named(helm: str, wrong: str, named: str) -> None:
    done = subprocess.run(helm_command(helm, "ingress", wrong), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert named in done.stderr


def test_the_chart_and_its_application_have_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {str(chart["version"]), str(chart["appVersion"])} == {sidecar.__version__}


@every_shape
def test_helm_finds_nothing_to_complain_about(helm: str, shape: str) -> None:
    argv = [
        helm,
        "lint",
        "--strict",
        "--kube-version",
        KUBERNETES,
        "-f",
        str(CHART / "examples" / f"{shape}.yaml"),
        str(CHART),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_each_folder_is_rendered_by_something() -> None:
    overlays = {path.name for path in (DEPLOY / "kustomize" / "overlays").iterdir()}
    assert overlays == {path.stem for path in (CHART / "examples").iterdir()} == set(SHAPES)
