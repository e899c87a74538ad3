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
# # 06 · Partitions and keys
#
# **A topic lies on three brokers at once. In which order does a reader get its messages?**
#
# ```mermaid
# flowchart LR
#     c1[camera 1] --> p{"producer:<br/>which partition?"}
#     c2[camera 2] --> p
#     subgraph photos [the topic photos]
#         p0[("partition 0<br/>0 1 2 3 …")]
#         p1[("partition 1<br/>0 1 2 …")]
#         p2[("partition 2<br/>0 1 2 3 4 …")]
#     end
#     p --> p0 & p1 & p2
#     p0 & p1 & p2 --> r[recogniser]
# ```
#
# Partitions split a topic's data across brokers, so that many can write and read at the same time. Each **partition** is a log
# of its own: new messages go to its end, and each gets the next number there, its **offset**. Who chooses the partition?
# Neither Kafka nor you, most of the time: the producer's client does, by the message's **key**.
#
# ### What you'll do
# Lose the order of 30 photos, and get it back camera by camera; send the same key from two clients to two places; let a topic
# grow and watch keys move; open the file that a partition is.
#
# ### What you'll learn
# What order Kafka keeps, what a key is for, and why the number of partitions is a decision.
#
# ### What you'll need
# 35 minutes, lessons 04 and 05. Run the cells from the top.

# %% tags=["nbval-ignore-output"]
import re
from subprocess import getoutput

import brokerlab
from brokerlab.records import records
from brokerlab.widgets import PartitionLanes
from confluent_kafka import Consumer, Producer, TopicPartition

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("06_partitions_and_keys", lab)
client = {**lab.client, "log_level": 0}
photos, uploads, cameras = map(lab.topic, ["photos", "uploads", "cameras"])
gates, from_python, from_console = map(lab.topic, ["gates", "from-python", "from-console"])
assert lab.state == "usable"

# %% [markdown]
# ## One topic, three logs
#
# Photos 1 to 30 go out one after the other, *without a key*. Then the client spreads them by chance. Below is what the brokers hold: a lane is a
# partition, a chip a photo. Try *send 12, no key*.

# %% tags=["nbval-ignore-output"]
lab.delete_topics(photos)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {photos} --partitions 3 --replication-factor 3
producer = Producer(client)
for number in range(1, 31):
    producer.produce(photos, f"photo {number}")
    producer.poll(0.02)  # the next photo is taken a moment later
assert producer.flush(10) == 0

lanes = PartitionLanes(lab, photos)
lanes.wait_until(lambda now: now.count >= 30, what="30 photos in the lanes")
lanes

# %% [markdown]
# **Predict:** a recogniser reads the whole topic from its beginning. Will photo 2 come before photo 30? (`records`, from this course's
# package, returns what the logs hold, partition by partition: our witness.)

# %% tags=["nbval-ignore-output"]
log, arrived = records(lab, photos), []
group = {"group.id": lab.group("recogniser"), "auto.offset.reset": "earliest"}
with Consumer(client | group) as consumer:
    consumer.subscribe([photos])
    while len(arrived) < len(log) and (message := consumer.poll(20)):
        arrived.append(int(message.value().decode().split()[1]))
print("arrived:", *arrived)
assert arrived != sorted(arrived) and sorted(arrived) == list(range(1, len(log) + 1))
for partition in range(3):
    numbers = [int(record.text.split()[1]) for record in log if record.partition == partition]
    assert numbers == sorted(numbers), numbers

# %% [markdown]
# **Compare:** perhaps, and perhaps not. The reader asks three brokers and takes what comes. Look at one lane alone, though: its
# numbers only rise. The cell asserts both, and so for each partition.
#
# *One sentence to keep: Kafka keeps the order of a partition; a topic with several has none.*
#
# ## A key keeps a camera together
#
# The recogniser follows a cat from photo to photo. It needs the order of *one camera*; it does not care which of two cameras
# was first. So the camera becomes the key. **Predict:** five cameras, three partitions. In how many partitions are the photos of
# one camera?

# %%
producer = Producer(client)
first = len(records(lab, photos)) + 1
for number in range(first, first + 30):
    producer.produce(photos, f"photo {number}", key=f"cam-{number % 5}")
assert producer.flush(10) == 0

keyed = [record for record in records(lab, photos) if record.key]
for camera in sorted({record.key for record in keyed}):
    places = {record.partition for record in keyed if record.key == camera}
    numbers = [int(record.text.split()[1]) for record in keyed if record.key == camera]
    print(camera.decode(), "- partition", *places, "- in order:", numbers == sorted(numbers))
    assert len(places) == 1 and numbers == sorted(numbers)

# %% [markdown]
# **Compare:** one. The client computes a number from the key, a *hash*, and takes the remainder when it is divided by the number of
# partitions. Nobody keeps a list. Scroll up: each colour stays in its lane.
#
# *One sentence to keep: what must stay in order gets the same key.*
#
# ## Two clients, one key
#
# A second team uploads with a Java program. The console producer is one. Six users upload from both sides, to a topic with
# three partitions. **Predict:** `alice` from Python is in partition 2. And `alice` from the console?

# %%
lab.delete_topics(uploads)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {uploads} --partitions 3 --replication-factor 3
users = ["alice", "bob", "carol", "dave", "erin", "frank"]
producer = Producer(client)
for user in users:
    producer.produce(uploads, "python", key=user)
assert producer.flush(10) == 0
# !printf '%s:console\n' {" ".join(users)} | kafka-console-producer.sh --bootstrap-server {lab.bootstrap_servers} --topic {uploads} --property parse.key=true --property key.separator=:
# !kafka-console-consumer.sh --bootstrap-server {lab.bootstrap_servers} --topic {uploads} --from-beginning --max-messages 12 --timeout-ms 9000 --property print.partition=true --property print.key=true 2>/dev/null | sort -k 2

# %% [markdown]
# **Compare:** in partition 0. Only `carol` is in the same place twice. The clients use different hashes: librdkafka, which is
# inside Python's client, CRC32; Java's client murmur2. Now alice's uploads have no order, and no error says so.
#
# One setting makes them agree, the **partitioner**:

# %%
as_java = Producer(client | {"partitioner": "murmur2_random"})
for user in users:
    as_java.produce(uploads, "python, murmur2", key=user)
assert as_java.flush(10) == 0

at = {(r.text, r.key.decode()): r.partition for r in records(lab, uploads)}
for sender in ("python", "python, murmur2"):
    agreed = [user for user in users if at[sender, user] == at["console", user]]
    print(f"{sender}: {len(agreed)} of {len(users)} where the console puts them")
assert len(agreed) == len(users) and (at["python", "alice"], at["console", "alice"]) == (2, 0)

# %% [markdown]
# *One sentence to keep: the same key is in the same partition only if all clients use the same partitioner, over the same number
# of partitions.*
#
# ## The topic grows
#
# A hundred cameras send photo 1 into three partitions. Then more recognisers shall share the work, so the topic is to have six.
# Before we do it, the lanes can tell: the dashed frame shows *the same records* as six partitions would hold them. An orange
# number is the partition from which a key would move. **Predict:** how many of 100 cameras would move? Then drag the slider.

# %% tags=["nbval-ignore-output"]
lab.delete_topics(cameras)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {cameras} --partitions 3 --replication-factor 3
before = Producer(client)
for camera in range(100):
    before.produce(cameras, "photo 1", key=f"cam-{camera}")
assert before.flush(10) == 0

lanes = PartitionLanes(lab, cameras)
lanes.set(partitions=6, partitioner="crc32")
seen = lanes.wait_until(lambda now: now.what_if and now.count == 100, what="100 cameras")
lanes

# %% [markdown]
# Now for real. `--alter` adds three empty partitions; what is written stays where it is.

# %%
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --alter --topic {cameras} --partitions 6
lanes.set(partitioner="as it is")
lanes.wait_until(lambda now: len(now.lanes) == 6, what="six partitions")
after = Producer(client)
for camera in range(100):
    after.produce(cameras, "photo 2", key=f"cam-{camera}")
assert after.flush(10) == 0

at = {(r.text, r.key): r.partition for r in records(lab, cameras)}
moved = [key for text, key in at if text == "photo 2" and at["photo 1", key] != at[text, key]]
print(len(moved), "of 100 cameras moved, cam-1 among them:", b"cam-1" in moved)
assert len(moved) == len(seen.what_if.moved) == 43 and b"cam-1" in moved

# %% [markdown]
# **Compare:** 43, as the lanes foretold (look at them again). **Predict:** a second recogniser starts and gets one of the new partitions. What is
# the first photo of `cam-1` that it sees, while photo 1 still waits elsewhere?

# %%
old, new = at["photo 1", b"cam-1"], at["photo 2", b"cam-1"]
recogniser = Consumer(client | {"group.id": lab.group("recogniser-2")})
recogniser.assign([TopicPartition(cameras, new, 0)])
while (message := recogniser.poll(20)) and message.key() != b"cam-1":
    pass
recogniser.close()
print(f"cam-1: photo 1 is in partition {old}, photo 2 in partition {new}")
print("The recogniser of partition", new, "begins with", message.value().decode())
assert (old, new, message.value()) == (1, 4, b"photo 2")

# %% [markdown]
# *One sentence to keep: adding partitions moves keys, and the order of each key that moves is broken once.*
#
# ## A partition is files
#
# Each broker has a data folder, in it a folder for each partition it holds, in that the log, in files that are called **segments**.
# Their name is the first offset in them. Here is partition 4 of `cameras`, read with Kafka's own tool, without asking
# any broker. **Predict:** will the three brokers' files differ?

# %%
if lab.offers("sees_files"):
    folders = [broker.data / "cameras-4" for broker in lab.brokers.values()]
    segments = [file for folder in folders for file in folder.glob("*.log")]
    contents = {file.read_bytes() for file in segments}
    print(len(segments), "files", {f.name for f in segments}, "- different:", len(contents) > 1)
    dump = getoutput(f"kafka-dump-log.sh --print-data-log --files '{segments[0]}'")
    held = re.findall(r"offset: (\d+) .* key: (\S+) payload: (.*)", dump)
    log = [(str(r.offset), r.key.decode(), r.text) for r in records(lab, cameras, partitions=[4])]
    for offset, key, payload in held[:3]:
        print("offset", offset, "- key", key, "-", payload)
    print("exactly what a consumer reads:", held == log)
    assert held == log and len(segments) == 3 and len(contents) == 1

# %% [markdown]
# **Compare:** byte by byte the same. A broker appends what it is sent, and copies are copies of the file. That is why Kafka is fast,
# and why it never sorts anything.
#
# ## Exercise 1: keep each camera's order
#
# `shots` lists 100 photos in the order in which five cameras took them. Create the topic `gates`, with three partitions or more, and
# send each as `cam-3 photo 17`. Each camera's photos shall be in order, in one partition; and not all cameras in the
# same.

# %% tags=["starter"]
shots = [(f"cam-{camera}", number) for number in range(1, 21) for camera in range(1, 6)]
# your topic and your producer here

# %% tags=["solution", "exercise-1"]
lab.delete_topics(gates)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {gates} --partitions 3 --replication-factor 3
shots = [(f"cam-{camera}", number) for number in range(1, 21) for camera in range(1, 6)]
producer = Producer(client)
for camera, number in shots:
    producer.produce(gates, f"{camera} photo {number}", key=camera)
assert producer.flush(10) == 0

# %%
q[1].check()

# %% [markdown]
# ## Exercise 2: two clients that agree
#
# The gallery has 200 members, `member-0` to `member-199`. Create two topics, `from-python` and `from-console`, and send each member's
# key once into both: into one with Python, into the other with `kafka-console-producer.sh`. Values as you like. Each key
# shall be in the same partition in both topics. (`seq -f 'member-%g:hello' 0 199` prints 200 lines.)

# %% tags=["starter"]
# your topics and your two producers here

# %% tags=["solution", "exercise-2"]
lab.delete_topics(from_python, from_console)
for topic in (from_python, from_console):
    getoutput(
        f"kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {topic} --partitions 6 --replication-factor 3"
    )
producer = Producer(client | {"partitioner": "murmur2_random"})
for number in range(200):
    producer.produce(from_python, "hello", key=f"member-{number}")
assert producer.flush(10) == 0
# !seq -f 'member-%g:hello' 0 199 | kafka-console-producer.sh --bootstrap-server {lab.bootstrap_servers} --topic {from_console} --property parse.key=true --property key.separator=:

# %%
q[2].check()

# %% tags=["solution"]
q[1].assert_passed()
q[2].assert_passed()

# %% [markdown]
# ## In production
#
# - Choose the number of partitions once, for the readers you expect in some years, moderately: each costs memory, open files and time
#   at a failover.
# - A topic cannot shrink: the records of a dropped partition would have to go somewhere, and their offsets with them.
#   Whoever needs other numbers makes a new topic and moves to it.
# - A producer that was running when a topic grew learns of it minutes later; until then two producers disagree about a key.
# - A key that is much busier than the others makes a *hot* partition. A finer key (camera and day) spreads it, for a smaller order.
# - Without a key, clients fill a batch for one partition, then choose another by chance (a *sticky* partitioner); only in the long run does
#   each partition get its share.
#
# ## What you learned
#
# 1. A partition is a log: a file that grows, copied as it is. Order and offsets exist within it only.
# 2. Without a key, chance chooses the partition; with one, the client's hash does.
# 3. What must stay in order shares a key; what need not should not.
# 4. librdkafka hashes with CRC32, Java with murmur2: set `partitioner` where both write.
# 5. From 3 to 6 partitions 43 of 100 keys moved, and their order broke.
#
# ## Clean up

# %%
lab.delete_topics(photos, uploads, cameras, gates, from_python, from_console)
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [Replication and failover](07_replication_and_failover.ipynb), where the copies earn their keep.
