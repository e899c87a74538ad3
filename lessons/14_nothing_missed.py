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
# # 14 · Nothing missed
#
# **The parts of the ML queue die, one by one, while pictures come. Is any request missed? How would you know?**
#
# ```mermaid
# flowchart LR
#     camera --> api[API server]
#     api -- one transaction --> db[(jobs + outbox)]
#     db --> relay --> requests[[requests]] --> worker
#     worker --> results[[results]] --> collector --> db
#     worker -. given up .-> dead[[dead letters]] -.-> collector
# ```
#
# "Without missing any requests", the article promises. The defaults it shows do not keep that; this does.
#
# ### What you'll do
# Kill every part of lesson 13's queue, and count with your own SQL and consumer where each picture is.
#
# ### What you'll learn
# What an outbox saves, what a dead letter is for, why slow work gets a worker thrown out, and what an audit must not believe.
#
# ### What you'll need
# 50 minutes, lessons 11 and 13. After a kernel restart run the first two cells, then the section you want.

# %% tags=["nbval-ignore-output"]
import sqlite3
import time

import brokerlab
from brokerlab import programs
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from brokerlab.storm import picture
from brokerlab.widgets import ChaosPanel
from confluent_kafka import Consumer, Producer, TopicPartition
from IPython.display import display

lab = brokerlab.start(brokers=3)

# %% [markdown]
# ## One part is dead
#
# We kill the **relay**, which carries the outbox into Kafka, and send 100 pictures. (Number 50 breaks off in the middle, on purpose.)
# **Predict:** how many does the API server accept? In which state?

# %%
q = brokerlab.exercises.load("14_nothing_missed", lab)
queue = MLQueue(lab)
queue.begin(workers=2)


def sql(query):
    return sqlite3.connect(queue.store.file).execute(query).fetchall()


queue.kill("relay")
with Camera(lambda: queue.url, picture, 100, 50) as camera:
    print({one.status for one in camera.wait(60)})
print(sql("SELECT state, count(*) FROM jobs GROUP BY state"))

# %% [markdown]
# **Compare:** 202 for each, and none in Kafka. The database remembers the promise: job and outbox row were written in *one* transaction. A
# relay that starts later finds what is not published yet. So it may die anywhere: what it had published and not marked is published twice,
# never not at all.
#
# ## The audit
#
# How would you know that none is missing? Not from counters: whoever loses a picture does not count it. Ask every place where one can be.
# In Kafka those are the records that a group has *not committed* yet:


# %%
def beyond(topic, group):
    reading = {**lab.client, "group.id": group, "log_level": 0}
    found, ended = set(), 0
    with Consumer(reading | {"enable.auto.commit": False, "enable.partition.eof": True}) as reader:
        numbers = reader.list_topics(timeout=10).topics[topic].partitions
        places = reader.committed([TopicPartition(topic, n) for n in numbers], timeout=10)
        reader.assign([TopicPartition(topic, p.partition, max(p.offset, 0)) for p in places])
        while ended < len(places):
            record = reader.poll(20)
            ended += record.error() is not None  # the end of a partition comes as an "error"
            found |= set() if record.error() else {record.key().decode()}
    return found


# %% [markdown]
# A record's key is the picture's id. **Predict:** the relay starts; how many of the 100 are missing?


# %%
def missing():
    accepted = sql("SELECT id FROM jobs")
    places = {id for (id,) in sql("SELECT job_id FROM outbox WHERE published_at IS NULL")}
    for topic in (queue.names.requests, queue.names.retries):
        places |= beyond(topic, queue.names.workers)
    for topic in (queue.names.results, queue.names.dead_letters):
        places |= beyond(topic, queue.names.collectors)
    places |= {id for (id,) in sql("SELECT id FROM jobs WHERE state IN ('done', 'dead-lettered')")}
    return {id for (id,) in accepted} - places


queue.start("relay")
print(f"missing: {len(missing())} on the way, {len(queue.settle().missing)} in the end")

# %% [markdown]
# **Compare:** 0, even while they move: places are asked in the order in which a picture passes them, so one that moves on is met further
# down. `queue.audit()` is this, with more numbers:
#
# *accepted = waiting + queued + on the way + done + dead-lettered + **missing***
#
# *One sentence to keep: missing is a subtraction, and everything in it was asked where it lies.*
#
# ## Between commit and publish
#
# Many services have no outbox: they commit, then publish. `careless=True` is such a queue (`acks=1`, offsets committed by the clock). We
# freeze the brokers for a second, so that what is accepted cannot be published, and kill the API server just then.
#
# **Predict** for both queues: how many are missing?


# %%
def killed_between(queue):
    queue.begin(workers=1)
    with Camera(lambda: queue.url, picture, None, 30) as camera:
        camera.wait(60, 20)
        _ = [broker.pause(watch=False) for broker in lab.brokers.values()]
        camera.wait(60, len(camera.sent) + 25)  # all of these got their 202
        queue.kill("api")
        _ = [broker.resume() for broker in lab.brokers.values()]
        queue.start("api")
        camera.finish()
        camera.wait(60)
    return queue.audit()


# %% tags=["nbval-ignore-output"]
for careless in (False, True):
    with MLQueue(lab, "between", careless=careless) as other:
        print("careless" if careless else "careful ", found := killed_between(other))
        assert bool(found.missing) == careless

# %% [markdown]
# **Compare:** the careless one loses most of that second's pictures: they were in the server's memory. Their senders have a 202 and will not
# send again. Its own database calls them *queued*; only the audit knows.
#
# *One sentence to keep: two systems cannot be written at once; write one, and let something that never forgets carry it to the other.*
#
# ## Dead letters
#
# A worker that tries a **poison** picture for ever stands still; one that skips it loses it. So it goes to a topic of its own, with the
# reason in its headers. Number 50 is there already. Twelve more follow: by mistake, the requests topic takes 1,000 bytes a record for a
# moment. **Predict:** what do the headers say?

# %% tags=["nbval-ignore-output"]
alter = f"kafka-configs.sh --bootstrap-server {lab.bootstrap_servers} --alter --topic {queue.names.requests}"
# !{alter} --add-config max.message.bytes=1000
with Camera(lambda: queue.url, picture, 12, 50, key=f"late-{time.time_ns()}") as camera:
    camera.wait(60)
_ = queue.settle()
# !{alter} --add-config max.message.bytes=5250000
with Consumer({**lab.client, "group.id": "reader"}) as reader:
    reader.assign([TopicPartition(queue.names.dead_letters, 0, 0)])
    for letter in reader.consume(2, 20):
        print({name: value.decode() for name, value in letter.headers()})
print(codes := dict(sql("SELECT code, count(*) FROM dead_letters GROUP BY code")))
assert codes["truncated"] and codes["not-taken"] >= 12

# %% [markdown]
# **Compare:** a code for programs, a sentence for people. `truncated` fails again whenever it is sent; `not-taken` had a cause that is gone
# now. Exercise 2 sends these again.
#
# ## A picture that takes its time
#
# A member that does not call `poll` for `max.poll.interval.ms` (5 minutes by default, 1.5 s here) counts as stuck: its group goes on without
# it. These workers take four pictures of 4,900 x 4,900 at once. Only the patient one keeps polling meanwhile; **pause** keeps new
# pictures away.

# %%
# %%program eyes.py
import sys
from concurrent.futures import ThreadPoolExecutor

from brokerlab.access import read_client
from brokerlab.pipeline.detector import Detector
from confluent_kafka import Consumer

client_file, way = sys.argv[1:]
settings = {**read_client(client_file), "group.id": way, "auto.offset.reset": "earliest"}
settings |= {"max.poll.interval.ms": 1500, "session.timeout.ms": 1500, "enable.auto.commit": False}
detector, thread = Detector(), ThreadPoolExecutor(1)
consumer = Consumer(settings | {"heartbeat.interval.ms": 300, "log_level": 0})


def look(pictures):
    return thread.submit(lambda: [detector.detect(one.value()) for one in pictures])


# %%
# %%program slow.py
from eyes import consumer, look, way

with consumer:
    consumer.subscribe(["slow"])
    while pictures := consumer.consume(4, 60):
        looking = look(pictures)
        consumer.pause(consumer.assignment())
        while not looking.done():  # what is paused brings nothing, but the group hears from us
            consumer.poll(0.05) if way == "patient" else looking.result()
        consumer.resume(consumer.assignment())
        consumer.commit(asynchronous=False)
        print("committed")

# %% [markdown]
# **Predict:** what becomes of the naive one's commit?

# %% tags=["nbval-ignore-output"]
import io

from PIL import Image

Image.new("RGBA", (4900, 4900), "olive").save(large := io.BytesIO(), "PNG")
lab.delete_topics("slow")
producer = Producer({**lab.client, "log_level": 0})
_ = [producer.produce("slow", large.getvalue(), partition=0) for _ in range(4)]
assert producer.flush(20) == 0
ways = ("naive", "patient")
naive, patient = (programs.run("slow.py", lab.client_file, way) for way in ways)
print("patient:", patient.wait_for("committed", 90), "· naive:", naive.wait(90), naive.lines[-1])
patient.kill()
assert naive.exit_code == 1 and "KafkaException" in naive.lines[-1]

# %% [markdown]
# **Compare:** the naive one did all the work, and was no member any more when it wanted to commit. Started again it gets the same pictures,
# for ever: busy, and nothing is ever done. Our queue's worker looks in a thread too.
#
# *One sentence to keep: the thread that talks to the group must never be the one that works.*
#
# ## The storm
#
# Now all of it, while at least 1,000 pictures come, one in a hundred poison. In the seed's order: the API server dies between commit and
# publish, the relay dies, each worker in the middle of a picture, each broker, and ZooKeeper is away for five seconds.
#
# **Predict:** missing? Came twice? Took effect twice?

# %% tags=["nbval-ignore-output"]
panel = ChaosPanel(queue)
panel.storm(seed=14, pictures=1000)
display(panel)
half = panel.wait_until(lambda now: now.sending and now.sending.sent >= 500, 60, "500 pictures")
assert half.storm

# %% [markdown]
# The panel shows the audit while it goes on. *came twice* counts records, *effects twice* what the database made of them.

# %% tags=["nbval-ignore-output"]
found = panel.results(80)
print(found)
assert not found.missing and found.duplicate_effects == 0
poison = sql(
    "SELECT state, count(*) FROM jobs WHERE idempotency_key LIKE 'panel-%50' GROUP BY state"
)
print("poison:", poison)
assert found.accepted >= 1100 and [state for state, _ in poison] == ["dead-lettered"]
assert sum("kill" in words for _, words in panel.look().log) >= 7
panel

# %% [markdown]
# **Compare:** missing 0, effects twice 0, every poison picture given up with its reason. Some records may come twice: who dies after publishing,
# and before it notes that, leaves it to be done again. The database keeps the first outcome of each picture; storing it again changes nothing
# (**idempotent**).
#
# *One sentence to keep: at least once on the way, once in effect.*
#
# Now you: kill, freeze, start in the panel; `panel.send(200)` lets pictures come. Can you make *missing* leave 0?
#
# ## Exercise 1: a storm of your own
#
# With a seed of your own: let at least 200 pictures come, and meanwhile kill each of `victims` and start it again: `crash(queue, victim)`.
# Then wait until all have their outcome. The check asks processes, ZooKeeper, database and topics.

# %% tags=["starter"]
import random

from brokerlab.storm import crash

victims = ["api", "relay", "worker-1", "worker-2", "broker-2", "zookeeper"]
seed = ...  # random.Random(seed).shuffle(victims)
# with Camera(lambda: queue.url, picture, None, 25, key="mine") as camera:
...  # let some pictures through, crash a victim, and so on; camera.finish() in the end
q[1].check(queue)

# %% tags=["solution", "exercise-1"]
import random

from brokerlab.storm import crash

victims = ["api", "relay", "worker-1", "worker-2", "broker-2", "zookeeper"]
random.Random(77).shuffle(victims)
with Camera(lambda: queue.url, picture, None, 25, key="mine") as camera:
    for victim in victims:
        camera.wait(60, len(camera.sent) + 30)
        crash(queue, victim)
    camera.wait(60, len(camera.sent) + 30)
    camera.finish()
    camera.wait(60)

# %% tags=["solution", "exercise-1"]
_ = queue.settle()
q[1].assert_passed(queue)

# %% [markdown]
# ## Exercise 2: the right dead letters
#
# Send those dead letters again whose cause is gone, and leave the poison alone. (In a shell: `python -m brokerlab.pipeline redrive`.)

# %% tags=["starter"]
# queue.store.redrive(...)
...
q[2].check(queue)

# %% tags=["solution", "exercise-2"]
queue.store.redrive(code="not-taken")
_ = queue.settle()

# %% tags=["solution"]
q[2].assert_passed(queue)

# %% [markdown]
# ## In production
#
# - An outbox in PostgreSQL: several relays need `FOR UPDATE SKIP LOCKED`, or change capture (Debezium) reads the database's log.
# - Kafka's transactions make reading, writing and committing one step *within Kafka*; your database is outside.
# - Three replicas, `min.insync.replicas=2`, `acks=all`, no unclean election, and a retention longer than your longest outage.
# - Watch the oldest outbox row's age, the lag, and the dead letters: somebody must own these.
# - Run the audit by the clock, from a time that was checked before: its cost grows with the topics.
# - Kill things on purpose, on a working day (*chaos engineering*), before the night does.
#
# ## What you learned
#
# 1. An outbox makes *accepted* and *will be published* one transaction.
# 2. A careless queue loses what it promised, and its own database does not know.
# 3. Poison goes to dead letters with code and reason; what was cured is sent again, and only that.
# 4. Slow work needs a thread of its own, so that the group hears of its member.
# 5. At least once on the way, once in effect; missing is a subtraction over every place.
#
# ## Clean up
#
# After a kernel restart leave out the first line.

# %%
panel.close()
queue.end()
lab.delete_topics("slow")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: lesson 15, where more pictures come than one worker can look at.
