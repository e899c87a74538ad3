"""A lab on a class's cluster: what a learner has of it, and that it ends at his own names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brokerlab
import pytest
from brokerlab import access, cli, exercises, observe
from brokerlab.attached import AttachedLab
from brokerlab.errors import NodeFailedError, NotLetInError, NotPossibleError, SettingError
from brokerlab.exercises import engine
from brokerlab.lab import Lab
from brokerlab.progress import Progress
from brokerlab.records import texts
from brokerlab.widgets import ClusterMap, TopicBoard
from classcluster import ClassCluster, Learner, attached, class_cluster, password_of, set_all
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

NAMES = [f"pupil{number}" for number in range(10)]
SECONDS = 20
ATTACH_SECONDS = 1.0
SCRIPTS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassCluster]:
    with class_cluster(tmp_path_factory.mktemp("class")) as started:
        yield started


@pytest.fixture(scope="module")
def pupils(cluster: ClassCluster) -> list[Learner]:
    return cluster.let_in(*NAMES)


@pytest.fixture
def lab(cluster: ClassCluster, pupils: list[Learner], tmp_path: Path) -> Iterator[Lab]:
    """The part of the cluster that is the first learner's."""
    with attached(cluster, pupils[0], tmp_path) as lab:
        yield lab
        lab.delete_topics(*lab.topics())


def create(lab: Lab, topic: str) -> None:
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([NewTopic(topic, 3, 3 if len(lab.brokers) > 2 else 1)])[topic].result(
        SECONDS
    )


def write(lab: Lab, topic: str, *values: str) -> None:
    told: list[object] = []
    settings = {**lab.client, "log_level": 0, "message.timeout.ms": 5000}
    producer = Producer(settings)
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: told.append(error))
    assert producer.flush(SECONDS) == 0
    if wrong := [error for error in told if error]:
        raise KafkaException(wrong[0])


def read(lab: Lab, topic: str, group: str) -> None:
    settings = {**lab.client, "group.id": group, "log_level": 0}
    reader = Consumer({**settings, "auto.offset.reset": "earliest"})
    try:
        reader.subscribe([topic])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = reader.poll(1)
            if message is not None:
                if message.error():
                    raise KafkaException(message.error())
                return
    finally:
        reader.close()
    raise AssertionError(f"{topic} was neither read nor refused within {SECONDS} s")


def delete(lab: Lab, topic: str) -> None:
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.delete_topics([topic])[topic].result(SECONDS)


def transact(lab: Lab, name: str) -> None:
    producer = Producer({**lab.client, "transactional.id": name, "log_level": 0})
    producer.init_transactions(SECONDS)


def trespasses(lab: Lab, victim: str) -> dict[str, Callable[[], None]]:
    """Return what somebody could do to another's things, the deletion last."""
    own, theirs = lab.topic("photos"), f"{victim}photos"
    return {
        "create": lambda: create(lab, f"{victim}planted"),
        "read": lambda: read(lab, theirs, lab.group("spy")),
        "write": lambda: write(lab, theirs, "planted"),
        "join": lambda: read(lab, own, f"{victim}recogniser"),
        "transact": lambda: transact(lab, f"{victim}upload"),
        "delete": lambda: delete(lab, theirs),
    }


def refused_of(lab: Lab, victim: str) -> set[str]:
    """Try everything, and return what was refused for want of a right."""
    refused = set()
    for name, attempt in trespasses(lab, victim).items():
        try:
            attempt()
        except KafkaException as error:
            assert "AUTHORIZATION_FAILED" in error.args[0].name(), (name, error)
            refused.add(name)
    return refused


# -- one learner ---------------------------------------------------------------------------------


def test_attaching_takes_less_than_a_second_and_starts_nothing(cluster, pupils, tmp_path, capsys):
    with attached(cluster, pupils[0], tmp_path):
        begun = time.monotonic()
        lab = brokerlab.start()
        took = time.monotonic() - begun
        said = capsys.readouterr().err
        assert cli.main(["status"]) == 0
        assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert took < ATTACH_SECONDS
    assert "attached to the cluster at" in said and "begin with pupil0-" in said
    assert shown.count("your names") == 2 and "broker-3" in shown
    assert lab.state == "usable" and sorted(lab.brokers) == [1, 2, 3]
    assert [file.name for file in tmp_path.glob("labs/*/*.json")] == []


def test_names_have_the_prefix_once(lab):
    assert lab.topic("photos") == lab.topic(lab.topic("photos")) == "pupil0-photos"
    assert lab.group("a") == "pupil0-a" and lab.transactional_id("b") == "pupil0-b"


def test_the_client_and_its_file_say_the_same_and_hide_the_password(lab):
    assert access.read_client(lab.client_file) == lab.client
    assert lab.client_file.stat().st_mode & 0o777 == 0o600
    assert "has a secret" not in f"{lab.client!r} {lab!r} {lab.status()}"


@pytest.mark.parametrize(
    "verb",
    [
        lambda lab: lab.brokers[1].kill(),
        lambda lab: lab.brokers[1].stop(),
        lambda lab: lab.brokers[1].start(),
        lambda lab: lab.brokers[1].data,
        lambda lab: lab.brokers[1].properties,
        lambda lab: lab.brokers[1].log(),
        lambda lab: lab.zookeeper,
        lambda lab: lab.zookeeper_client,
        lambda lab: lab.add_broker(),
        lambda lab: lab.explain(),
        lambda lab: lab.connect,
        lambda lab: lab.stop(),
    ],
)
def test_what_is_not_possible_is_said_in_a_sentence(lab, verb):
    with pytest.raises(NotPossibleError, match="This cluster is one that exists already: "):
        verb(lab)


def test_a_step_that_is_not_possible_is_left_out_with_the_reason(lab, capsys):
    assert lab.offers("can_create_topics") and capsys.readouterr().out == ""
    assert not lab.offers("can_create_topics", "can_kill")
    assert capsys.readouterr().out.startswith("Left out on this cluster: it stops brokers")


def test_lessons_that_need_a_lab_of_ones_own_say_so_at_once(lab):
    possible = []
    for lesson in engine.lessons():
        try:
            exercises.load(lesson, lab)
            possible.append(lesson[:2])
        except NotPossibleError as error:
            assert str(error).startswith(f"Lesson {lesson[:2]} ")
    assert possible == ["03", "04", "05", "06", "16"]


def test_views_show_the_learners_own_topics(lab, cluster):
    create(cluster.lab, "somebody-elses")
    create(lab, lab.topic("photos"))
    seen = observe.wait_until(lab, lambda now: now.topic("pupil0-photos"))
    assert [topic.name for topic in seen.topics] == ["pupil0-photos"]
    assert len(seen.nodes) == 3 and seen.problem is None
    board, shown = TopicBoard(lab), ClusterMap(lab)
    try:
        board.wait_until(lambda now: [row.topic.name for row in now.rows] == ["pupil0-photos"])
        picture = shown.still()
        assert "pupil0-photos" in picture and "somebody" not in picture and "kill" not in picture
    finally:
        board.close()
        shown.close()
    cluster.lab.delete_topics("somebody-elses")


def test_the_board_shows_what_is_set_on_a_topic(lab):
    topic = lab.topic("careful")
    wish = NewTopic(topic, 1, 3, config={"min.insync.replicas": "2"})
    admin = AdminClient({**lab.client, "log_level": 0})
    admin.create_topics([wish])[topic].result(SECONDS)
    board = TopicBoard(lab)
    try:
        board.wait_until(lambda now: [row.min_insync for row in now.rows] == ["2"])
    finally:
        board.close()


def run(command: str) -> str:
    environ = os.environ | {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-c", command], env=environ, text=True, capture_output=True, timeout=60, check=True
    ).stdout


def test_console_tools_are_let_in(lab):
    topic = lab.topic("photos")
    there = f"--bootstrap-server {lab.bootstrap_servers}"
    said = run(
        f"kafka-topics.sh {there} --create --topic {topic} --partitions 1 --replication-factor 3"
    )
    assert said == f"Created topic {topic}.\n"
    run(f"seq 1 5 | kafka-console-producer.sh {there} --topic {topic}")
    read = f"kafka-console-consumer.sh {there} --topic {topic} --from-beginning --max-messages 5 --timeout-ms 9000"
    assert [run(read) for _ in range(2)] == ["1\n2\n3\n4\n5\n"] * 2
    groups = run(f"kafka-consumer-groups.sh {there} --list").splitlines()
    assert groups and all(group.startswith("pupil0-console-consumer-") for group in groups)


def test_another_process_of_the_learner_sees_the_same(lab):
    create(lab, lab.topic("photos"))
    write(lab, lab.topic("photos"), "one")
    code = (
        "import brokerlab; from brokerlab.records import texts; lab = brokerlab.start();"
        "print(texts(lab, lab.topic('photos')), sorted(brokerlab.attach().topics()))"
    )
    seen = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=60)
    assert seen.stdout == "['one'] ['pupil0-photos']\n", seen.stderr
    assert run("brokerlab topics") == "pupil0-photos\n"


def test_the_copy_of_the_login_goes_with_stop(lab, capsys):
    assert cli.main(["stop"]) == 0
    assert "so nothing is stopped" in capsys.readouterr().out
    assert not lab.client_file.exists()
    assert lab.state == "usable"


# -- who is not let in ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a secret", "no secret", "does not let 'pupil0' in: check user name and password"),
        ("SHA-256", "SHA-512", "does not take sasl.mechanism=SCRAM-SHA-512"),
        ("SASL_PLAINTEXT", "SASL_SSL", "security.protocol=SASL_SSL"),
        ("security.protocol=SASL_PLAINTEXT", "", "hangs up on a client of"),
    ],
)
def test_who_says_something_else_is_told_what(cluster, pupils, tmp_path, before, after, said):
    file = tmp_path / "wrong.properties"
    file.write_text(pupils[0].properties_file.read_text().replace(before, after))
    begun = time.monotonic()
    with (
        pytest.raises(NotLetInError, match=said),
        attached(cluster, pupils[0], tmp_path, BROKERLAB_CLIENT_PROPERTIES=str(file)),
    ):
        pass
    assert time.monotonic() - begun < 10


def test_who_has_no_rights_may_look_and_is_told_what_to_ask_for(cluster, tmp_path):
    (mute,) = cluster.let_in("mute", rights=False)
    with attached(cluster, mute, tmp_path) as lab:
        assert not lab.capabilities.can_create_topics
        assert lab.topics() == set()
        with pytest.raises(NotPossibleError, match="Lesson 04 creates topics, and mute may not"):
            exercises.load("04_topics", lab)


def test_a_prefix_of_somebody_else_gives_no_rights(cluster, pupils, tmp_path):
    with attached(cluster, pupils[0], tmp_path, BROKERLAB_PREFIX="pupil1-") as lab:
        assert not lab.capabilities.can_create_topics


def test_the_commands_of_the_classroom_page_let_somebody_in(cluster, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "classroom.md").read_text("utf-8")
    commands = re.search(r"^kafka-configs\.sh(?:.*\n)+?(?=```)", page, re.M)[0]
    commands = commands.replace("kafka.example:9092", cluster.lab.bootstrap_servers)
    commands = commands.replace("--command-config owner.properties", "")
    commands = commands.replace("anna", "zoe").replace(
        "password=…", f"password={password_of('zoe')}"
    )
    commands = re.sub(
        r"^(kafka-\S+)", rf"{sys.executable} -m brokerlab.tools \1", commands, flags=re.M
    )
    # With the environment of the cluster's owner, whose lab lets its own tools in.
    run(commands)
    with attached(cluster, cluster.learner("zoe"), tmp_path) as lab:
        create(lab, lab.topic("photos"))
        write(lab, lab.topic("photos"), "one")
        read(lab, lab.topic("photos"), lab.group("recogniser"))
        transact(lab, lab.transactional_id("upload"))
        lab.delete_topics("photos")


# -- ten learners --------------------------------------------------------------------------------


def test_ten_learners_work_side_by_side_and_none_reaches_another(cluster, pupils, tmp_path):
    labs = []
    for pupil in pupils:
        with attached(cluster, pupil, tmp_path) as lab:
            labs.append(lab)

    def work(lab: AttachedLab) -> None:
        create(lab, lab.topic("photos"))
        write(lab, lab.topic("photos"), f"of {lab.prefix}")
        read(lab, lab.topic("photos"), lab.group("recogniser"))
        transact(lab, lab.transactional_id("upload"))

    with ThreadPoolExecutor(len(labs)) as pool:
        list(pool.map(work, labs))
        victims = [lab.prefix for lab in (*labs[1:], labs[0])]
        refused = list(pool.map(refused_of, labs, victims))
    everything = set(trespasses(labs[0], ""))
    assert refused == [everything] * len(labs)
    for lab in labs:
        assert texts(lab, lab.topic("photos")) == [f"of {lab.prefix}"]
        assert lab.topics() == {lab.topic("photos")}
        lab.delete_topics(labs[0].topic("photos") if lab is not labs[0] else "nothing")
    assert {name for name in cluster.lab.topics() if not name.startswith("__")} == {
        lab.topic("photos") for lab in labs
    }
    for lab in labs:
        lab.delete_topics("photos")


def test_without_rights_to_ask_for_all_that_is_possible_and_the_lab_still_shows_ones_own(tmp_path):
    with class_cluster(tmp_path, acls=False, brokers=1) as open_to_all:
        anna, bob = open_to_all.let_in("anna", "bob", rights=False)
        with (
            pytest.raises(SettingError, match="has 1 broker and 3 were asked for"),
            attached(open_to_all, anna, tmp_path),
        ):
            pass
        labs = []
        for learner in (anna, bob):
            with pytest.MonkeyPatch.context() as patch:
                set_all(patch, open_to_all.environment(learner, tmp_path))
                labs.append(brokerlab.start(brokers=1, progress=Progress()))
        hers, his = labs
        for lab in labs:
            create(lab, lab.topic("photos"))
            write(lab, lab.topic("photos"), "mine")
        assert his.topics() == {"bob-photos"}
        his.delete_topics("anna-photos")
        assert hers.topics() == {"anna-photos"}
        assert refused_of(his, hers.prefix) == set()
        assert hers.topics() == {"anna-planted"}


def test_a_cluster_that_goes_away_is_unreachable(tmp_path):
    with class_cluster(tmp_path, acls=False, brokers=1) as short_lived:
        (anna,) = short_lived.let_in("anna", rights=False)
        with pytest.MonkeyPatch.context() as patch:
            set_all(patch, short_lived.environment(anna, tmp_path))
            lab = brokerlab.start(brokers=1, progress=Progress())
    assert lab.state == "unreachable"
    assert "no broker answers" in (observe.snapshot(lab).problem or "")
    with pytest.raises(NodeFailedError, match="did not answer within"):
        lab.topics()
