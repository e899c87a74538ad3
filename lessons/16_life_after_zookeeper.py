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
# # 16 · Life after ZooKeeper
#
# **Can the ground under a cluster be exchanged while photos are being written?**
#
# The article of 2018 begins with "start ZooKeeper". Kafka 4 has none: its own *controllers* keep the list of brokers and topics, in a
# log that they copy to each other. This way is called **KRaft** (Kafka + Raft). Kafka 3.9, which you use here, is the bridge: it can do
# both, and take a running cluster from one to the other.
#
# ```mermaid
# flowchart LR
#     subgraph then
#         B1[brokers] --> Z[(ZooKeeper)]
#     end
#     subgraph now
#         B2[brokers] --> C[(controllers)]
#     end
#     then -- "today, live" --> now
# ```
#
# ### What you'll do
# Migrate a cluster while photos flow; then kill a controller of a cluster that never had a ZooKeeper.
#
# ### What you'll learn
# What a metadata quorum is, what is restarted when, until when you could turn back, and what replaced what.
#
# ### What you'll need
# 40 minutes, lessons 03 and 08; 1 GB of free memory. The lab here is one of its own and is thrown away. Run the cells from the top.
# After a kernel restart: the first cell, then *The photos* or *A cluster that never knew ZooKeeper*.

# %% tags=["nbval-ignore-output"]
import brokerlab
from brokerlab import observe, programs
from brokerlab.traffic import Traffic
from brokerlab.widgets import MigrationLine
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

lab = brokerlab.start(brokers=3, name="old", runtime="local")
if lab.mode != "zookeeper":  # from an earlier run
    lab.stop()
    lab = brokerlab.start(brokers=3, name="old", runtime="local")
lab.delete_topics("photos", "albums")
assert lab.state == "usable" or lab.repair()

# %% [markdown]
# ## The photos
#
# A reader, as in lesson 10: it tells how many different photos it has read, whenever none comes for a moment.

# %%
# %%program reader.py
# import sys
# from brokerlab.access import read_client
# from confluent_kafka import Consumer
# read = set()
# group = {"group.id": "recogniser", "auto.offset.reset": "earliest", "log_level": 0}
# with Consumer({**read_client(sys.argv[1]), **group}) as consumer:
#     consumer.subscribe(["photos"])
#     while True:
#         messages = consumer.consume(100, timeout=0.5)
#         read.update(message.value() for message in messages if not message.error())
#         if not messages:
#             print(f"read {len(read)} photos")

# %% tags=["nbval-ignore-output"]
admin = AdminClient({**lab.client, "log_level": 0})
admin.create_topics([NewTopic("photos", 3, 3)])["photos"].result(15)
safe = {"acks": "all", "enable.idempotence": True}
traffic = Traffic(lab, "photos", per_second=100, settings=safe)
reader = programs.run("reader.py", lab.client_file)
line = MigrationLine(lab)
line.wait_until(lambda seen: len(seen.now.ids) == 3 and seen.now.controller, what="the start")
assert line.now.controller in lab.brokers and line.now.leader is None
line

# %% [markdown]
# A hundred photos a second, from here to the end of the migration. In the picture ZooKeeper's two znodes are above, the controllers'
# leader is below them, then whom each broker follows. The buttons do what the next cells do; use the cells.
#
# ## Step 1: a controller that waits
#
# A *controller* is a Java process like a broker, with another file. **Predict:** once it runs, who decides who leads a partition?

# %%
step = lab.migration.start_controller()
print(step.lines("process.roles", "node.id", "quorum.voters", "migration", "zookeeper.connect"))
line.wait_until(lambda seen: seen.now.leader, what="a leader of the quorum")
print("the quorum's leader:", line.now.leader)
print("/controller still names a broker:", line.now.controller in lab.brokers)
print("brokers that follow the quorum:", *line.now.followers or ["none"])

# %% [markdown]
# **Compare:** the broker from before. The controller leads a *quorum* of one (`voters`): those who must agree on what is true. With one,
# it agrees with itself, and waits.
#
# ## Step 2: the brokers get to know it
#
# Each broker is restarted with five more lines, one after the other; the next one waits until every replica is in sync. (In a lab that
# asks for a password, five further ones name the key to the controller.) When the last is back, the controller copies all that ZooKeeper
# knows. **Predict:** whom does `/controller` name then?

# %%
step = lab.migration.join_brokers()
print(step.lines("quorum.voters", ".names", ".map", ".enable", ".version"))
line.wait_until(lambda seen: len(seen.now.followers) == 3, what="three followers")
print("/controller:", line.now.controller, "· /migration: taken over by", line.now.taken_over)
print("in /brokers/ids:", line.now.ids, "· following the quorum:", line.now.followers)
assert line.now.controller == line.now.taken_over == lab.controllers[1].id

# %% [markdown]
# **Compare:** 3001, which is no broker. It wrote itself into ZooKeeper, so that no broker can become controller any more.
#
# **Predict:** we create a topic now. The controller writes it into its own log. Does ZooKeeper hear of it?

# %%
from kazoo.client import KazooClient

admin.create_topics([NewTopic("albums", 3, 3)])["albums"].result(15)
zk = KazooClient(**lab.zookeeper_client)
zk.start(timeout=10)
path = "/brokers/topics/albums/partitions"
observe.wait_until(lab, lambda _: zk.exists(f"{path}/2"), 10, "albums in ZooKeeper")
print("ZooKeeper knows the partitions of albums:", *sorted(zk.get_children(path)))
zk.stop()

# %% [markdown]
# **Compare:** yes: this is the *dual write*. ZooKeeper stays complete, so there is a way back: brokers could be restarted with their old
# files. (The way back needs care with `/controller`; Kafka's manual has the steps.)
#
# *One sentence to keep: first both know everything, then one is left out.*
#
# ## Step 3: the brokers leave ZooKeeper
#
# Once more each broker is restarted. **Predict:** which lines go, and which name does its id have now?

# %%
step = lab.migration.move_brokers()
print(step.lines("id=", "roles", "migration", "zookeeper.session", "heartbeat"))
line.wait_until(lambda seen: len(seen.now.followers) == 3, what="three followers")
print("in /brokers/ids:", line.now.ids, "· following the quorum:", line.now.followers)
assert line.now.answers and not line.now.ids

# %% [markdown]
# **Compare:** `broker.id` became `node.id`, with the same number, for its replicas carry it. A broker has no session in ZooKeeper now. It
# sends heartbeats to the controller, and it reads the controllers' log as a follower reads a partition.
#
# ## Steps 4 and 5: no way back
#
# The controller is restarted without ZooKeeper; then ZooKeeper is stopped. **Predict:** how many of the photos were lost on the way? And
# how many did the reader miss?

# %% tags=["nbval-ignore-output"]
print(lab.migration.finalise().lines())
lab.migration.stop_zookeeper()
print("nodes:", *lab.nodes)
acknowledged = len(traffic.stop().acknowledged)
print(f"acknowledged: {acknowledged}, lost: {len(lost := traffic.outcome().lost)}")
reader.wait_for(f"read {acknowledged} photos", 30)
reader.stop()
print("the reader has read as many as were acknowledged")
assert acknowledged > 1000 and not lost
line

# %% [markdown]
# **Compare:** none, and none. Each broker moved its leaders before it stopped, and the others were in sync. (In the log a photo may be
# there *twice*: a producer that changes its leader may start a new sequence. So we count what is missing.)
#
# **Predict:** lesson 08 showed that without ZooKeeper a dead leader is never replaced. What happens now when we kill one?

# %%
report = lab.brokers[1].kill()
print("another leader for each of its partitions:", report.new_leaders is not None)
print("who noticed:", report.keeper)
partitions = observe.snapshot(lab).topic("photos").partitions
print("photos are led by:", *sorted({partition.leader for partition in partitions} - {1}))
line.close()
lab.stop()

# %% [markdown]
# **Compare:** the controller heard no heartbeat for 3 seconds, *fenced* the broker (nobody is sent to it any more), and chose new
# leaders. Watching and acting are one job now.

# %% [markdown]
# ## A cluster that never knew ZooKeeper
#
# Three controllers this time, and one broker: two of three are a majority, so one may die. `mode="kraft"` is all that changes.

# %% tags=["nbval-ignore-output"]
if lab.state != "stopped":  # after a kernel restart: two labs would need more memory
    lab.stop()
new = brokerlab.start(brokers=1, controllers=3, mode="kraft", name="new", runtime="local")
q = brokerlab.exercises.load("16_life_after_zookeeper", new)
print(new.controllers[1].properties)
assert new.state == "usable" or new.repair()
assert "zookeeper" not in new.controllers[1].properties + new.brokers[1].properties

# %% [markdown]
# The article's steps, with its tools: create a topic, type a message, read it from the beginning. **Predict:** which of the commands differ
# from those of lessons 04 and 05?

# %%
new.delete_topics("topic_name")
servers = new.bootstrap_servers
# !kafka-topics.sh --bootstrap-server {servers} --create --topic topic_name --partitions 1 --replication-factor 1 2>/dev/null
# !echo "hello, KRaft" | kafka-console-producer.sh --bootstrap-server {servers} --topic topic_name 2>/dev/null
# !kafka-console-consumer.sh --bootstrap-server {servers} --topic topic_name --from-beginning --max-messages 1 2>/dev/null

# %% [markdown]
# **Compare:** none. Who used ZooKeeper's address had to change; who used `--bootstrap-server` need not. One tool is new: it asks the quorum.

# %% tags=["nbval-ignore-output"]
# !kafka-metadata-quorum.sh --bootstrap-controller {new.bootstrap_controllers} describe --replication
assert {voter.id for voter in new.quorum().voters} == {3001, 3002, 3003}

# %% [markdown]
# One *Leader*, two *Followers*: the voters. The *Observer* is the broker: it copies the log and has no vote.
#
# ## Exercise 1: write through a migration
#
# Write `write(client, stop)`: it sends photos, `photo 0`, `photo 1` …, to the topic `photos`, about 50 a second, until `stop.is_set()`,
# and returns the list of those texts that **the cluster acknowledged**. `client` is what `lab.client` is elsewhere, `stop` a
# `threading.Event`. The check starts a lab of *one* broker, so that at each step nobody is there for a second or two; it migrates that
# lab while your function runs, and looks for each text in the log.

# %% tags=["starter"]
write = ...
# your function here, then:
q[1].check(write)


# %% tags=["solution", "exercise-1"]
def write(client, stop):
    settings = {**client, "acks": "all", "enable.idempotence": True, "log_level": 0}
    producer, acknowledged, number = Producer(settings), [], 0

    def delivered(error, message):
        if error is None:
            acknowledged.append(message.value().decode())

    while not stop.wait(0.02):
        producer.produce("photos", f"photo {number}", on_delivery=delivered)
        number += 1
        producer.poll(0)
    producer.flush(30)
    return acknowledged


# %% tags=["solution"]
q[1].assert_passed(write)

# %% [markdown]
# ## Exercise 2: find the new controller
#
# Write `find_leader()`: it returns the id of the controller that leads **now**, as a number. Ask with the tool above (`describe --status`)
# and `subprocess`. **The check kills the leader**, asks your function again, and starts the dead one.

# %% tags=["starter"]
find_leader = ...
# your function here, then:
q[2].check(find_leader)

# %% tags=["solution", "exercise-2"]
import re
import subprocess


def find_leader():
    asked = ["--bootstrap-controller", new.bootstrap_controllers, "describe", "--status"]
    said = subprocess.run(
        ["kafka-metadata-quorum.sh", *asked], capture_output=True, text=True, timeout=20
    )
    return int(re.search(r"LeaderId:\s*(\d+)", said.stdout)[1])


# %% tags=["solution"]
q[2].assert_passed(find_leader)

# %% [markdown]
# ## What replaced what
#
# | in the article's picture | with KRaft |
# |---|---|
# | ZooKeeper, an ensemble of three or five | controllers, three or five |
# | start ZooKeeper first | format each node once (`kafka-storage.sh`; the lab does it), start controllers, then brokers |
# | the tree of znodes | the log `__cluster_metadata` |
# | `/brokers/ids/1`, ephemeral | the broker's registration; *fenced* when it is silent |
# | a session, its heartbeats | heartbeats to the leading controller |
# | `/controller`: the fastest broker | the quorum's leader, by election |
# | a watch, then a question | each broker reads the log |
# | `zookeeper.connect` | `controller.quorum.voters` |
# | `zookeeper-shell.sh` | `kafka-metadata-quorum.sh`, `kafka-metadata-shell.sh` |
# | `--zookeeper` | `--bootstrap-server`, `--bootstrap-controller` |
#
# ## In production
#
# - Three controllers, on machines of their own; this lab migrated with one, to fit your memory.
# - Before step 4 wait for days, not seconds: it is the last moment to turn back.
# - Only 3.x can migrate, 3.9 best. Kafka 4 starts from KRaft alone.
# - Take copies of ZooKeeper's data before you begin.
#
# ## What you learned
#
# 1. KRaft's controllers keep the metadata in a log, and elect a leader among themselves.
# 2. A migration is two rounds of restarts; each restart waits until all replicas are in sync.
# 3. Between them the controller decides and ZooKeeper is kept complete: the dual write.
# 4. Clients that know only the brokers notice nothing: what was acknowledged was read.
# 5. A quorum lives as long as more than half of its voters.
#
# ## Clean up

# %% tags=["nbval-ignore-output"]
new.stop()
assert new.state == "stopped"

# %% [markdown]
# This was the last lesson. [The progress page](index.ipynb) shows what is left to try.
