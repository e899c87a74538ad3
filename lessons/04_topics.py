# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · Topics
#
# **A camera writes to `photoz` instead of `photos`. What happens?**
#
# A **topic** is a named log. It is cut into **partitions**, each a log of its own, and each partition is kept as several
# **replicas** on different brokers. Both numbers are decided when the topic is made.
#
# ```mermaid
# flowchart LR
#     camera[camera] --> photos
#     subgraph photos [topic photos, 3 partitions, replication factor 2]
#         p0["partition 0: brokers 1, 2"]
#         p1["partition 1: brokers 2, 3"]
#         p2["partition 2: brokers 3, 1"]
#     end
# ```
#
# ### What you'll do
# Create, read, change and delete topics: with a command of 2018 and its own tool, with today's tools, and by accident.
#
# ### What you'll learn
# What `--describe` says, what cannot be changed later, and why to create topics before anybody writes.
#
# ### What you'll need
# 35 minutes, lesson 01, about 800 MB of free memory (a second, small cluster joins for a moment).
#
# The board below is live: a tile is a partition, with its leader and its ISR, which are explained soon. It comes again where there is
# something to see.
#
# (`lab.topic("photos")` is the name `photos` on a lab of your own, and has your name in front on a cluster that a class shares. What such a
# cluster does not allow, `lab.offers(...)` leaves out, and says why.)

# %% tags=["nbval-ignore-output"]
import time

import brokerlab
from brokerlab.widgets import TopicBoard
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

lab = brokerlab.start(brokers=3)
topic_name, thumbnails, albums = map(lab.topic, ["topic_name", "thumbnails", "albums"])
client = {**lab.client, "log_level": 0}
photos, admin = lab.topic("photos"), AdminClient(client)
q = brokerlab.exercises.load("04_topics", lab)
board = TopicBoard(lab)
board

# %% [markdown]
# ## A command of 2018
#
# This course follows an article of 2018, written for Kafka 1.0. Here is how it creates a topic, word for word. Back then
# the tool wrote straight into ZooKeeper. **Predict:** does Kafka 3.9's tool still do that? Does the tool of Kafka 2.8.2, with this
# cluster of 3.9?

# %%
if lab.offers("is_own"):
    assert lab.on_article_ports, "Port 2181 or 9092 is taken: end what `brokerlab doctor` names."
    lab.delete_topics("topic_name")
    command = "sh kafka-topics.sh --create --zookeeper localhost:2181 --replication-factor 1 --partitions 1 --topic topic_name"
    now = brokerlab.tools.background(command)
    print("3.9, exit code", now.wait(), "-", now.lines[0])
    then = brokerlab.tools.background(command.replace(".sh", "-2.8.2.sh"))
    print("2.8.2, exit code", then.wait(120), "-", then.lines[-1])
    assert now.exit_code == 1
    brokerlab.observe.wait_until(lab, lambda now: now.topic("topic_name"), 20, "topic_name")

# %% [markdown]
# **Compare:** refused by 3.9, done by 2.8.2. The old tool left a note (a *znode*) in ZooKeeper, and the controller, a broker of 3.9, carried it
# out. Kafka 3.0 removed `--zookeeper`: today a tool asks a broker, like any client.
#
# ## Today's form, and how to read it
#
# Of the options only the address changes. `--describe` shows what came of it.

# %% tags=["nbval-ignore-output"]
lab.delete_topics(thumbnails, photos)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {thumbnails} --partitions 3 --replication-factor 3
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --list
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --describe --topic {thumbnails}
partitions = admin.list_topics(timeout=10).topics[thumbnails].partitions.values()
assert [len(p.replicas) for p in partitions] == [3, 3, 3]
assert all(p.leader in p.isrs for p in partitions)
board

# %% [markdown]
# The first line of `--describe` is the topic, with its own settings under *Configs*; then one line a partition:
#
# - **Leader**: the broker that takes all writes of this partition. Each partition has its own.
# - **Replicas**: the brokers that shall hold a copy. Their number is the *replication factor* (RF).
# - **Isr**, *in-sync replicas*: those that have kept up. Only one of these may become leader.
#
# (*Elr* and *LastKnownElr* belong to clusters without ZooKeeper.) The log called `__consumer_offsets` is Kafka's own.
#
# ## More partitions, fewer partitions
#
# The article adds partitions, again through ZooKeeper. **Predict:** its topic from 1 to 3; then `thumbnails` from 3 to 4, and down to 2.
# Which step fails?

# %%
if lab.offers("is_own"):
    command = (
        "sh kafka-topics.sh --zookeeper localhost:2181 --alter --topic topic_name --partitions 3"
    )
    now = brokerlab.tools.background(command)
    print("3.9, exit code", now.wait(), "-", now.lines[0])
    then = brokerlab.tools.background(command.replace(".sh", "-2.8.2.sh"))
    print("2.8.2, exit code", then.wait(), "-", then.lines[-1])
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --alter --topic {thumbnails} --partitions 4
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --alter --topic {thumbnails} --partitions 2 2>&1 | head -1
assert len(admin.list_topics(timeout=10).topics[thumbnails].partitions) == 4

# %% [markdown]
# **Compare:** partitions can be added, never removed: their messages would have nowhere to go. Adding has a price
# too: messages of one key may go to another partition from then on (lesson 06).
#
# To count partitions, the article uses a tool that prints how far each one is written, as `topic:partition:offset`.

# %%
now = brokerlab.tools.background(
    f"sh kafka-run-class.sh kafka.tools.GetOffsetShell --broker-list {lab.bootstrap_servers} --topic {thumbnails} --time -1"
)
print("3.9, exit code", now.wait(), "-", now.lines[0])
assert now.exit_code == 1
# !kafka-get-offsets.sh --bootstrap-server {lab.bootstrap_servers} --topic {thumbnails} --time -1

# %% [markdown]
# *One sentence to keep: whatever asked ZooKeeper in 2018 asks a broker now, and the rest of the command is the same.*
#
# ## Three copies, two brokers
#
# **Predict:** one broker is stopped (not the controller), two are left. Can a topic with RF 3 be made now, its third copy to follow? And what of `thumbnails`, which
# *has* RF 3?

# %% tags=["nbval-ignore-output"]
lab.delete_topics(albums)
if lab.offers("can_kill"):
    controller = brokerlab.observe.snapshot(lab).controller
    others = [broker for broker in lab.brokers.values() if broker.id != controller]
    stopped = [broker.stop() for broker in others[1:]]
    with brokerlab.refused(KafkaException, "INVALID_REPLICATION_FACTOR"):
        admin.create_topics([NewTopic(albums, 3, 3)])[albums].result()
    producer, told = Producer(client), []
    for n in range(30):
        producer.produce(thumbnails, "a", partition=n % 3, on_delivery=lambda e, _: told.append(e))
    assert producer.flush(20) == 0 and told == [None] * 30, told
board

# %% [markdown]
# **Compare:** the new topic is refused, the old one goes on with two replicas of three (hatched on the board). Look at
# `topic_name` there, RF 1: a partition whose only broker is away has no leader.
#
# Now `albums` is made with two copies, then the broker returns. **Predict:** will `albums` get a third?

# %%
names = [albums, thumbnails]


def in_sync(now):
    found = [now.topic(name) for name in names]
    return all(found) and all(len(p.isr) == len(p.replicas) for t in found for p in t.partitions)


admin.create_topics([NewTopic(albums, 3, 2)])[albums].result()
lab.repair()
seen = brokerlab.observe.wait_until(lab, in_sync, what="every replica to be in sync")
for name in names:
    copies = {len(p.replicas) for p in seen.topic(name).partitions}
    print(name, "- copies of each partition:", copies)

# %% [markdown]
# **Compare:** replicas that *exist* catch up; replicas that were never made do not come by themselves.
#
# *One sentence to keep: the replication factor is decided at creation; it is no wish that is granted later.*
#
# ## The trap: topics nobody created
#
# A producer with a typo, a consumer with another. **Predict:** which one gets an error?

# %%
if lab.offers("is_own"):
    lab.delete_topics("photoz")
    producer = Producer(client)
    producer.produce("photoz", value="holiday.jpg")
    print("messages still waiting to be sent:", producer.flush(20))
    made = admin.list_topics(timeout=10).topics["photoz"].partitions
    print("photoz now exists - partitions:", len(made), "- replicas:", len(made[0].replicas))
    assert "\nnum.partitions" not in lab.brokers[1].properties
    with Consumer({**client, "group.id": "recogniser"}) as consumer:
        consumer.subscribe(["photozz"])
        with brokerlab.refused(KafkaException, "UNKNOWN_TOPIC_OR_PART"):
            raise KafkaException(consumer.poll(20).error())

# %% [markdown]
# **Compare:** the producer is told that all went well. Its photo lies in a topic that nobody reads, with one copy. The Python consumer
# gets an error; Java's consumer would have created `photozz` as well.
#
# The article says that a topic has three partitions by default. It has one: nothing in this lab sets `num.partitions`, and Kafka's own default is 1,
# as in the `server.properties` that comes with Kafka. For RF, `default.replication.factor`, it is 1 too.
#
# Two cures: `auto.create.topics.enable=false` on the brokers, tried here on a second, small cluster; and, in a Python producer,
# `"allow.auto.create.topics": False`.

# %% tags=["nbval-ignore-output"]
if lab.offers("is_own"):
    off = {"auto.create.topics.enable": False}
    with brokerlab.start(brokers=1, name="strict", broker_properties=off) as strict:
        # Unless told otherwise, a producer hopes 30 s for a topic that it cannot find.
        hope = {**strict.client, "topic.metadata.propagation.max.ms": 1000, "log_level": 0}
        careful, told = Producer(hope), []
        careful.produce("photoz", value="holiday.jpg", on_delivery=lambda e, _: told.append(str(e)))
        careful.flush(20)
        assert "UNKNOWN_TOPIC_OR_PART" in told[0] and "photoz" not in strict.topics()
    print(told[0])

# %% [markdown]
# ## Deleted is not gone
#
# `albums` has RF 2 and shall have 3: delete it, create it anew. But `delete_topics` returns when the controller has *accepted* the
# wish; the brokers carry it out afterwards. **Predict:** create at once under the same name: how often is that refused?

# %% tags=["nbval-ignore-output"]
admin.delete_topics([albums])[albums].result()
attempts, limit = [], time.monotonic() + 15
while "created" not in attempts and time.monotonic() < limit:
    try:
        admin.create_topics([NewTopic(albums, 3, 3)])[albums].result()
        attempts.append("created")
    except KafkaException as error:
        attempts.append(error.args[0].name())
        time.sleep(0.05)
assert attempts[-1] == "created" and set(attempts) <= {"created", "TOPIC_ALREADY_EXISTS"}
print(attempts)
board

# %% [markdown]
# **Compare:** mostly it is refused some times with TOPIC_ALREADY_EXISTS, *marked for deletion*, sometimes
# never: do not rely on either. Even a topic that `--list` no longer shows may not be forgotten yet.
#
# *One sentence to keep: after a deletion, try again until the cluster takes the name, and set a limit.*
#
# ## Exercise 1: create `photos`
#
# Create the topic `photos` (its whole name is in the variable `photos`) with **3 partitions**, **replication factor 3** and its own setting `min.insync.replicas=2`: a
# producer that asks for all in-sync replicas (`acks=all`) is then refused unless two have the message (lesson 07). Watch the board.

# %% tags=["starter"]
# your command here: a line that begins with ! is run by the shell

# %% tags=["solution", "exercise-1"]
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {photos} --partitions 3 --replication-factor 3 --config min.insync.replicas=2

# %%
q[1].check()

# %% [markdown]
# Stuck? `q[1].hint()`, and `q[1].solution()`.
#
# ## Exercise 2: four commands, eight years later
#
# Rewrite these four for Kafka 3.9. The check **executes** each one, on a topic of its own: it puts its name where `{topic}` stands
# (no f-string, please), looks at the cluster and deletes it again.

# %% tags=["starter"]
commands = {
    "create": "sh kafka-topics.sh --create --zookeeper localhost:2181 --replication-factor 1 --partitions 1 --topic {topic}",
    "describe": "sh kafka-topics.sh --describe --zookeeper localhost:2181 --topic {topic}",
    "alter": "sh kafka-topics.sh --zookeeper localhost:2181 --alter --topic {topic} --partitions 3",
    "offsets": "sh kafka-run-class.sh kafka.tools.GetOffsetShell --broker-list localhost:9092 --topic {topic} --time -1",
}

# %% tags=["solution", "exercise-2"]
commands = {
    "create": "sh kafka-topics.sh --create --bootstrap-server localhost:9092 --replication-factor 1 --partitions 1 --topic {topic}",
    "describe": "sh kafka-topics.sh --describe --bootstrap-server localhost:9092 --topic {topic}",
    "alter": "sh kafka-topics.sh --bootstrap-server localhost:9092 --alter --topic {topic} --partitions 3",
    "offsets": "sh kafka-get-offsets.sh --bootstrap-server localhost:9092 --topic {topic} --time -1",
}
if not lab.on_article_ports:
    address = lab.bootstrap_servers
    commands = {name: text.replace("localhost:9092", address) for name, text in commands.items()}

# %%
q[2].check(commands)

# %% tags=["solution"]
q[1].assert_passed()
q[2].assert_passed(commands)

# %% [markdown]
# ## In production
#
# - `auto.create.topics.enable=false`, nearly everywhere. Topics are created by a script or a pipeline that somebody reviewed.
# - RF 3 and `min.insync.replicas=2` are the usual pair: one broker may fail, and writing goes on.
# - Start with more partitions than you need today, within reason: adding some later moves keys.
# - More replicas for an existing topic: `kafka-reassign-partitions.sh` can do it, by copying all its data.
# - Who may create and delete is a matter of permissions (ACLs); on a lab of your own you may.
#
# ## What you learned
#
# 1. A topic has partitions; each has a leader, replicas, and an ISR, all shown by `--describe`.
# 2. Tools ask a broker: `--zookeeper` went with 3.0.
# 3. Partitions can be added, not removed; replicas are decided at creation. Both are 1 unless you say more.
# 4. Auto-creation turns a typo into a topic with one copy.
# 5. A deletion is a wish that is carried out later.
#
# ## Clean up

# %%
board.close()
lab.delete_topics(topic_name, thumbnails, albums, "photoz", photos)
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [Console producer and consumer](05_console_producer_and_consumer.ipynb) types the first photos into a topic.
