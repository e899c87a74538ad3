"""kubernetes.yaml: the schemas take it, its words are the pipeline's own, and what is misspelt is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from brokerlab.pipeline import __main__ as program
from brokerlab.pipeline import relay, server, worker
from brokerlab.pipeline.clients import PARTITIONS
from brokerlab.pipeline.messages import Names
from schemas import refusal

FILE = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes.yaml"
DOCUMENTS = {
    (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(FILE.read_text())
}
PODS = {
    kind: DOCUMENTS[kind, name]["spec"]["template"]["spec"]
    for kind, name in (("StatefulSet", "photo-api"), ("Deployment", "photo-workers"))
}
CONTAINERS = {one["name"]: one for pod in PODS.values() for one in pod["containers"]}
SCALED = DOCUMENTS["ScaledObject", "photo-workers"]
NAMES = Names()


@pytest.mark.parametrize("which", DOCUMENTS, ids="-".join)
def test_the_schemas_take_it(which: tuple[str, str]) -> None:
    assert refusal(DOCUMENTS[which]) is None


@pytest.mark.parametrize(
    ("which", "path", "wrong"),
    [
        (("ConfigMap", "photo-queue"), "data", "dta"),
        (("StatefulSet", "photo-api"), "spec.replicas", "replicsa"),
        (("StatefulSet", "photo-api"), "spec.template.spec.containers.0.readinessProbe", "readynessProbe"),
        (("StatefulSet", "photo-api"), "spec.volumeClaimTemplates.0.spec.accessModes", "accessMode"),
        (("Service", "photo-api"), "spec.ports.0.targetPort", "targetport"),
        (("Deployment", "photo-workers"), "spec.template.spec.terminationGracePeriodSeconds", "terminationGracePeriod"),
        (("Deployment", "photo-workers"), "spec.template.spec.containers.0.securityContext.readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        (("TriggerAuthentication", "photo-kafka"), "spec.secretTargetRef.0.parameter", "parametre"),
        (("ScaledObject", "photo-workers"), "spec.maxReplicaCount", "maxReplicas"),
        (("ScaledObject", "photo-workers"), "spec.triggers.0.authenticationRef", "authentication"),
        (("ScaledObject", "photo-workers"), "spec.triggers.0.metadata.lagThreshold", "lagTreshold"),
        (("ScaledObject", "photo-workers"), "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds", "stabilisationWindowSeconds"),
    ],
)  # fmt: skip
def test_what_is_misspelt_is_refused(which: tuple[str, str], path: str, wrong: str) -> None:
    document = copy.deepcopy(DOCUMENTS[which])
    *way, last = path.split(".")
    place: Any = document
    for step in way:
        place = place[int(step) if step.isdecimal() else step]
    place[wrong] = place.pop(last)
    said = refusal(document)
    # Where the right one must be there, that it is missing is said first.
    assert said is not None and (wrong in said or f"{last!r} is a required property" in said)


@pytest.mark.parametrize(
    ("path", "value"), [("maxReplicaCount", "six"), ("triggers", {}), ("scaleTargetRef", None)]
)
def test_a_value_of_another_kind_is_refused(path: str, value: object) -> None:
    document = copy.deepcopy(SCALED)
    document["spec"][path] = value
    assert refusal(document) is not None


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_command_line_is_one_that_the_pipeline_understands(name: str) -> None:
    arguments = program._parser().parse_args([str(word) for word in CONTAINERS[name]["args"]])
    assert arguments.run is getattr(program, f"_{name}")
    assert getattr(arguments, "prefix", "photo") == NAMES.prefix


def test_variables_in_command_lines_come_from_somewhere() -> None:
    given = set(DOCUMENTS["ConfigMap", "photo-queue"]["data"])
    for container in CONTAINERS.values():
        here = {one["name"] for one in container.get("env", ())}
        if "envFrom" in container:
            here |= given
        used = {word.partition("$(")[2].rstrip(")") for word in container["args"] if "$(" in word}
        assert used <= here, container["name"]


def test_the_scaler_watches_what_the_workers_read() -> None:
    triggers = [one["metadata"] for one in SCALED["spec"]["triggers"]]
    assert [one["topic"] for one in triggers] == [NAMES.requests, NAMES.retries]
    assert {one["consumerGroup"] for one in triggers} == {NAMES.workers}
    assert {one["bootstrapServersFromEnv"] for one in triggers} <= set(
        DOCUMENTS["ConfigMap", "photo-queue"]["data"]
    )
    assert SCALED["spec"]["maxReplicaCount"] == PARTITIONS
    target = SCALED["spec"]["scaleTargetRef"]["name"]
    assert "replicas" not in DOCUMENTS["Deployment", target]["spec"]


def test_one_database_has_one_pod_and_its_parts_share_it() -> None:
    stateful = DOCUMENTS["StatefulSet", "photo-api"]["spec"]
    assert stateful["replicas"] == 1
    assert [one["name"] for one in PODS["StatefulSet"]["containers"]] == [
        "api",
        "relay",
        "collector",
    ]
    files = {program._parser().parse_args(map(str, CONTAINERS[name]["args"])).database for name in ("api", "relay", "collector")}  # fmt: skip
    assert files == {Path("/data/photo.sqlite")}


@pytest.mark.parametrize("kind", PODS)
def test_no_pod_has_more_rights_than_it_needs(kind: str) -> None:
    pod = PODS[kind]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} == set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_there_is_time_to_end_in_good_order() -> None:
    slowest_picture = 5.0
    needed = slowest_picture + worker.HAND_OVER + worker.LAST_CONFIRMATIONS
    assert PODS["Deployment"]["terminationGracePeriodSeconds"] > needed
    needed = max(server.STOP_SECONDS, relay.LAST_CONFIRMATIONS) + 5
    assert PODS["StatefulSet"]["terminationGracePeriodSeconds"] > needed


def test_what_is_mounted_exists() -> None:
    for kind, pod in PODS.items():
        volumes = {one["name"] for one in pod["volumes"]}
        if kind == "StatefulSet":
            claims = DOCUMENTS[kind, "photo-api"]["spec"]["volumeClaimTemplates"]
            volumes |= {one["metadata"]["name"] for one in claims}
        for container in pod["containers"]:
            assert {one["name"] for one in container["volumeMounts"]} <= volumes
