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
# # 11 · Offsets, commits, replay
#
# **A worker dies with a photo in its hands. Is the photo looked at again, or never?**
#
# ```mermaid
# flowchart LR
#     subgraph log [one partition]
#         direction LR
#         r0[0] --- r1[1] --- r2[2] --- r3[3] --- r4[4] --- r5[5]
#     end
#     start([log start: the oldest photo kept]) -.-> r0
#     committed([committed: where the group goes on, kept by the cluster]) -.-> r2
#     position([position: what this worker is handed next, kept in its memory]) -.-> r4
#     r5 -.- high([high watermark: where the next photo will be])
# ```
#
# Four places on one ruler; the answer lies between two of them.
#
# ### What you'll do
# Read a topic twice; kill a worker in the middle of a photo, and count; go back in time; lose the past.
#
# ### What you'll learn
# Who moves the four places; what auto-commit really commits; how to read existing messages again.
#
# ### What you'll need
# 40 minutes, lessons 05 and 10. After a kernel restart run the first two cells, then the section you want.

# %% tags=["nbval-ignore-output"]
import json
import time
from subprocess import getoutput

import brokerlab
from brokerlab import programs
from brokerlab.groups import GroupObserver
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("11_offsets_commits_replay", lab)
server = {**lab.client, "log_level": 0}  # 0: clients write no log
assert lab.state == "usable"

# %% [markdown]
# Three topics: `photos`, one a minute for 100 minutes; `desk`, 20 for an operator; `album`, 60 in three partitions, for an exercise. A
# producer may say itself when a photo was taken: `timestamp`, in milliseconds. Sessions last 6 s, not 45: a killed kernel leaves dead
# members, and their group waits for them.

# %%
lab.delete_topics("photos", "desk", "album")
new = [NewTopic("photos", 1, 3), NewTopic("desk", 1, 3), NewTopic("album", 3, 3)]
admin, producer = AdminClient(server), Producer(server)
created = [future.result(10) for future in admin.create_topics(new).values()]
minute, began = 60_000, (int(time.time()) - 100 * 60) * 1000
for topic, count in (("photos", 100), ("desk", 20), ("album", 60)):
    for n in range(count):
        place = {"partition": (1, 0, 1, 2, 1)[n % 5]} if topic == "album" else {}
        producer.produce(topic, f"photo {n}", timestamp=began + n * minute, **place)
assert producer.flush(10) == 0
reading = server | {"auto.offset.reset": "earliest", "enable.partition.eof": True}
reading |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}

# %% [markdown]
# ## Reading takes nothing away
#
# **Predict** three numbers: group A reads `photos` to the end, then group B, then A again. And how many will the log hold then?


# %%
def read(group):
    count = 0
    with Consumer(reading | {"group.id": group}) as consumer:
        consumer.subscribe(["photos"])
        while not consumer.poll(20).error():  # the end of the log comes as an "error" too
            count += 1
        low, high = consumer.get_watermark_offsets(TopicPartition("photos", 0), timeout=10)
    # closed now, whatever happened: it has committed what it was handed, and left the group
    return f"{group} read {count}; log start {low}, high watermark {high}"


print(*(seen := [read(group) for group in ("A", "B", "A")]), sep="\n")
counts = ("A read 100", "B read 100", "A read 0")
assert seen == [f"{count}; log start 0, high watermark 100" for count in counts]

# %% [markdown]
# **Compare:** 100, 100, 0, and the log did not notice. From a group's committed offset to the high watermark it is its **lag**: 0 for
# both now. A's second run said `earliest` and read nothing, as in lesson 05: `auto.offset.reset` is asked only when there is no
# committed offset.
#
# *One sentence to keep: consuming removes nothing; it moves one number for each partition, the group's.*
#
# ## A worker with something in its hands
#
# At this desk an operator confirms each photo with Enter, so you decide how long one takes. Two cells, two files: what every worker
# here shares, and a worker.

# %%
# %%program desk.py
import signal
import sys

from brokerlab.access import read_client

client_file, topic, group, commit = sys.argv[1:]
settings = {**read_client(client_file), "group.id": group, "auto.offset.reset": "earliest"}
settings |= {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
settings |= {"auto.commit.interval.ms": 500}
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # asked to end: leave the with block in order


def recognise(photo):
    print("working", photo.partition(), photo.offset(), photo.value().decode())
    sys.stdin.readline()  # until the operator presses Enter
    print("done", photo.partition(), photo.offset(), photo.value().decode())


# %%
# %%program worker.py
from confluent_kafka import Consumer
from desk import commit, recognise, settings, topic

with Consumer(settings | {"enable.auto.offset.store": commit == "auto"}) as consumer:
    consumer.subscribe([topic])
    while True:
        photo = consumer.poll(1)
        if photo and not photo.error():
            recognise(photo)
            if commit == "after":
                consumer.store_offsets(photo)

# %% [markdown]
# We start it with `auto`, the client's default (but each half second, not each five). Three times Enter; then the worker has photo 3
# in its hands, and dies.
#
# **Predict:** which photo does the restarted worker begin with? (It waits until the group gives up the dead one: `session.timeout.ms`,
# 3 s here, 45 s by default.)

# %%
command = ("worker.py", lab.client_file, "desk", "night-shift", "auto")
worker = programs.run(*command)
for _ in range(3):
    worker.write("")  # Enter
worker.wait_for("working 0 3")
with GroupObserver(lab, "night-shift", ["desk"]) as group:
    group.wait_until(lambda seen: seen.lag == 16, what="a commit of 4 out of 20")
worker.kill()
restarted = programs.run(*command)
print(*worker.lines, "(killed, started again)", restarted.wait_for("working"), sep="\n")
restarted.kill()
assert restarted.lines[0] == "working 0 4 photo 4"

# %% [markdown]
# **Compare:** photo 4. Nobody was `done` with photo 3, and nobody will be: missing 1, and no error anywhere.
#
# The client *stored* offset 4 when `poll` handed photo 3 over, before `recognise` began, and a thread in the background commits what is
# stored. So auto-commit commits what you were *handed*, not what you have *done*: **at most once**.
#
# The cure is one setting and one line: `enable.auto.offset.store=False`, and `store_offsets(photo)` after the work. That is
# `after`. **Predict** for it: which photo first, how many missing? Here is the ruler, live, with the same worker and the same crash.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import OffsetRuler

ruler = OffsetRuler(lab, "desk", "day-shift", program="worker.py")
ruler.set(commit="after the work")
ruler.start_worker()
ruler.next_record(3)
ruler.wait_until(lambda seen: seen.working == (0, 3) and seen.committed() == 3, what="photo 3")
ruler.crash()
ruler.start_worker()


def again(seen):
    return not ruler.pending and seen.working == (0, 3) and seen.group.state == "STABLE"


assert ruler.wait_until(again, what="photo 3 again").missing == 0
ruler

# %% [markdown]
# **Compare:** photo 3 again; missing 0. Now press the buttons.
#
# 1. *Next record*, and at once *Crash*: the hatched photo is done but not committed. Start the worker, *Next record*: done twice.
# 2. *Close*, choose `auto`, *Start worker*, wait for the warning sign, *Crash*: that one is lost.
# 3. *Rewind*: only an empty group can be moved. *Send 20 more*: who moves the high watermark?
#
# *One sentence to keep: commit before the work and a crash loses; commit after it and a crash repeats (**at least once**).*
#
# Committing after *every* photo repeats at most one. **Predict** the price: how many times longer do 50 photos take?


# %% tags=["nbval-ignore-output"]
def seconds(commit_each):
    consumer = Consumer(server | {"group.id": "clerk", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition("photos", 0, 0)])  # read from offset 0, whatever is committed
    photo = consumer.poll(20)
    begun = time.monotonic()
    for _ in range(50):
        if commit_each:
            consumer.commit(photo, asynchronous=False)
        photo = consumer.poll(20)
    return time.monotonic() - begun


print(f"{(ratio := seconds(True) / seconds(False)):,.0f} times as long")
assert ratio > 5

# %% [markdown]
# **Compare:** the photos wait in the client's memory, so `poll` alone takes microseconds; a commit waits for the cluster's answer.
# Beside a slow recogniser that is nothing. Beside quick work, store each and let the thread commit.
#
# ## Existing messages, from a time on
#
# What is kept can be read again. The log knows each photo's time, so *from when* becomes *from which offset*:
# `offsets_for_times` in Python, `--to-datetime` (in UTC) for a whole group. **Predict:** A wants the photos from minute 70 on. What
# if a consumer of A is still running?

# %%
when = time.strftime("%Y-%m-%dT%H:%M:%S.000", time.gmtime((began + 70 * minute) / 1000))
group_a = f"kafka-consumer-groups.sh --bootstrap-server {lab.bootstrap_servers} --group A"
reset = f"{group_a} --topic photos --reset-offsets --to-datetime {when} --execute"
since = [TopicPartition("photos", 0, began + 70 * minute)]  # the time, where an offset would stand
with Consumer(reading | {"group.id": "A"}) as member:
    member.subscribe(["photos"])
    member.poll(20)  # now it is a member, at the end of the log
    print("Python finds offset", member.offsets_for_times(since, timeout=10)[0].offset)
    refused = getoutput(reset)
print(refused.strip(), " ".join(getoutput(reset).split()), replayed := read("A"), sep="\n")
assert "inactive" in refused and replayed.startswith("A read 30;")

# %% [markdown]
# **Compare:** while the group has a member, the tool refuses. Then: 30 photos, 70 to 99. (The rule: the first offset of the same time
# or later.) A reader without a group can `assign` what `offsets_for_times` returned; a member can `seek`.
#
# ## The past has an end
#
# A log keeps its records for `retention.ms`, seven days by default, then the log start moves. We cannot wait, so `DeleteRecordsCommand`
# (in Kafka's own folder: `kafka-delete-records.sh`) moves it now, to 40. Group C, on holiday, has committed 10. **Predict:** where does
# it go on?

# %%
holiday = Consumer(server | {"group.id": "C"})
holiday.commit(offsets=[TopicPartition("photos", 0, 10)], asynchronous=False)
holiday.close()
cut = json.dumps({"partitions": [{"topic": "photos", "partition": 0, "offset": 40}], "version": 1})
# !echo '{cut}' | kafka-run-class.sh org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server {lab.bootstrap_servers} --offset-json-file /dev/stdin
with Consumer(reading | {"group.id": "C", "auto.offset.reset": "error"}) as strict:
    strict.subscribe(["photos"])
    print("with error:   ", strict.poll(20).error().name())
print("with earliest:", back := read("C"))
assert back == "C read 60; log start 40, high watermark 100"

# %% [markdown]
# **Compare:** an offset that is gone counts as none, so `auto.offset.reset` decides after all. `earliest` skips 30 photos without a
# word; `latest`, the default, would skip 90. Only `error` says so.
#
# *One sentence to keep: a group that stays away longer than the log remembers loses what is in between.*
#
# ## Exercise 1: missing = 0
#
# Write `careful.py`, a worker that loses nothing. The check starts it on a topic of its own (the last argument is always `auto`),
# presses Enter, **kills it (SIGKILL)** in the middle of a photo after three quiet seconds, starts it again, and counts: missing 0, and
# nothing done again that was finished long before.

# %% tags=["starter"]
# %%program careful.py
from confluent_kafka import Consumer
from desk import recognise, settings, topic

consumer = Consumer(settings)
consumer.subscribe([topic])
...  # poll, recognise, commit: in which order?

# %% tags=["solution", "exercise-1"]
# %%program careful.py
from confluent_kafka import Consumer
from desk import recognise, settings, topic

with Consumer(settings | {"enable.auto.commit": False}) as consumer:
    consumer.subscribe([topic])
    while True:
        photo = consumer.poll(1)
        if photo and not photo.error():
            recognise(photo)
            consumer.commit(photo, asynchronous=False)

# %% tags=["starter"]
q[1].check()

# %% tags=["solution"]
q[1].assert_passed()

# %% [markdown]
# ## Exercise 2: one partition, from minute 40
#
# What did partition 1 of `album` get from `began + 40 * minute` on? Put the texts into the list `replayed`, in the log's order.

# %% tags=["starter"]
replayed = ...
# your consumer here

# %% tags=["solution", "exercise-2"]
reader = Consumer(reading | {"group.id": "visitor", "enable.auto.commit": False})
since = TopicPartition("album", 1, began + 40 * minute)
reader.assign(reader.offsets_for_times([since], timeout=10))
replayed = []
while not (photo := reader.poll(20)).error():
    replayed.append(photo.value().decode())
reader.close()

# %%
q[2].check(replayed)

# %% tags=["solution"]
q[2].assert_passed(replayed)

# %% [markdown]
# ## In production
#
# - Choose at least once, and make repeating harmless: give each photo an id, and let the second result overwrite the first (lesson 14).
# - Java differs from librdkafka (Python, Go, C#):
#
#   | | Java | librdkafka |
#   |---|---|---|
#   | auto-commit counts a record as read | at the next `poll()` | when it is handed over |
#   | and commits | inside `poll()` | in a thread in the background |
#   | crash during the work | repeats it | may lose it |
#
# - Transactions make reading, writing and committing one step, in Kafka alone, not in your database. `isolation.level` says whether a
#   reader sees unfinished ones: `read_committed` is librdkafka's default, not Java's.
# - A group without members forgets its offsets after seven days (`offsets.retention.minutes`); then `auto.offset.reset` decides.
# - Note the old offsets before you reset a group.
#
# ## What you learned
#
# 1. Log start and high watermark belong to the log, committed to the group, position to one worker's memory.
# 2. Consuming removes nothing; `auto.offset.reset` decides only where no usable offset is committed.
# 3. Auto-commit commits what was handed over: a crash loses it. Store after the work: a crash repeats it.
# 4. Committing each record costs a round trip each.
# 5. An empty group can be moved, by time too; what retention removed is gone.
#
# ## Clean up
#
# The worker ends with its ruler. After a kernel restart leave out the first line.

# %%
ruler.close()
lab.delete_topics("photos", "desk", "album")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: lesson 12 connects a database and files to topics; the core path goes on with lesson 13, the ML queue.
