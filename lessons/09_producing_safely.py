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
# # 09 · Producing safely
#
# **`produce()` returned, and no error came. Is the photo safe?**
#
# ```mermaid
# flowchart LR
#     camera([your program]) -- "produce()" --> queue[local queue]
#     queue -- "acks=0: counts here" --> leader[("leader's log")]
#     leader -- "acks=1: counts here" --> followers[("followers' logs")]
#     followers -- "acks=all: counts here" --> safe([safe])
# ```
#
# A photo has a way to go, and each part of it can break. An **acknowledgement** is a message back: *from here on, the photo is
# mine*. Which part sends it is your choice, with the setting `acks`.
#
# ### What you'll do
# Lose a thousand photos without an error; keep a ledger; break the leader under three producers; make duplicates, and stop them.
#
# ### What you'll learn
# What a delivery report is, what each `acks` is worth, what idempotence adds, and what batches save.
#
# ### What you'll need
# 35 minutes, lesson 07. After a kernel restart run the first cell, then the section where you were.

# %% tags=["nbval-ignore-output"]
import brokerlab
from confluent_kafka.admin import AdminClient, NewTopic

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("09_producing_safely", lab)
client = {**lab.client, "log_level": 0}


def fresh(*names):  # makes empty topics, all led by one broker, and returns that broker
    lab.repair()
    lab.delete_topics(*names)
    admin = AdminClient(client)
    order = sorted(lab.brokers, key=admin.list_topics(timeout=10).controller_id.__eq__)
    new = admin.create_topics([NewTopic(n, 1, replica_assignment=[order]) for n in names])
    return all(made.result(15) is None for made in new.values()) and lab.brokers[order[0]]


# %% [markdown]
# ## produce() returned, so it is sent?
#
# Here is a program, as it stands in many tutorials. `linger.ms` says how long the client collects messages before it sends
# them together; the default is 5, and 100 here makes sure that you see what we see.

# %%
# %%program hasty.py
# import sys
#
# from brokerlab.access import read_client
# from confluent_kafka import Producer
#
# producer = Producer({**read_client(sys.argv[1]), "linger.ms": 100})
# for number in range(1000):
#     producer.produce("uploads", f"photo {number}")
# print("1000 photos handed over, no error")

# %% [markdown]
# **Predict:** it runs to its end. How many of the 1,000 photos are in the log?

# %%
from brokerlab import programs
from brokerlab.records import texts

fresh("uploads")
hasty = programs.run("hasty.py", lab.client_file)
hasty.wait(30)
print(hasty.lines[0])
print(hasty.wait_for("terminating").partition("]: ")[2])
print("in the log:", len(texts(lab, "uploads")))
assert texts(lab, "uploads") == []

# %% [markdown]
# **Compare:** none. `produce()` put each photo into a queue *inside the program*; a thread of the client sends them later, and there
# was no later. With the default of 5 ms it is a gamble: now all arrive, now none.
#
# *One sentence to keep: `produce()` returned means "I have written it down", not "it is sent".*
#
# ## Keep a ledger
#
# What becomes of a photo is told by its **delivery report**: a function of yours, called with an error or with the message and its
# offset. Called when? Only while you are in `poll()` or `flush()`. Until then the photo takes room in the local queue, here for 1,000.
#
# **Predict:** photo 1,001 comes before any report was served. What happens? And what does `len(producer)` say after `flush()`?

# %%
from confluent_kafka import Producer

fresh("uploads")
stored = []
full_at_1000 = client | {"queue.buffering.max.messages": 1000}
producer = Producer(full_at_1000 | {"on_delivery": lambda error, m: error or stored.append(m)})
for number in range(1000):
    producer.produce("uploads", f"photo {number}")
with brokerlab.refused(BufferError, "Queue full"):
    producer.produce("uploads", "photo 1000")
print(f"before flush(): {len(producer)} wait, {len(stored)} acknowledged")
assert producer.flush(10) == 0 and len(stored) == len(texts(lab, "uploads")) == 1000
print(f"after  flush(): {len(producer)} wait, {len(stored)} acknowledged, and in the log")

# %% [markdown]
# **Compare:** `BufferError`: the queue is full, the photo was *not* taken. `flush()` serves reports until nothing waits, and returns
# how many still do; `poll(0)` serves those that are there, `poll(1)` waits a second for some.
#
# *One sentence to keep: poll while you produce, flush before you end, and believe only delivery reports.*
#
# ## What is an acknowledgement worth?
#
# Three producers, one for each `acks`, send bursts of 100 photos to three topics with the same leader. Each keeps its ledger.

# %%
leader = fresh("acks-all", "acks-1", "acks-0")
acknowledged = {"acks-all": [], "acks-1": [], "acks-0": []}


def report(error, message):
    if error is None:
        acknowledged[message.topic()].append(message.value().decode())


def burst(name, patience):
    for topic, producer in producers.items():
        for number in range(100):
            producer.produce(topic, f"{name} {number}")
        producer.flush(patience)
    print(f"{name:<18}", {topic: len(ledger) for topic, ledger in acknowledged.items()})


# %% [markdown]
# Now the trouble, within a second, before ZooKeeper notices: the two followers freeze, then the leader
# too, then the leader is killed and the followers go on.
#
# **Predict:** whose second hundred is acknowledged, while no follower can copy anything? Whose third, by a
# leader that does not answer?

# %%
from brokerlab.observe import wait_until

producers = {t: Producer(client | {"acks": t[5:], "on_delivery": report}) for t in acknowledged}
burst("all is well", 10)
wait_until(lab, lambda _: all(len(texts(lab, topic)) == 100 for topic in producers))
followers = [broker for broker in lab.brokers.values() if broker is not leader]
steps = [follower.pause(watch=False) for follower in followers]
burst("followers frozen", 0.2)
steps += [leader.pause(watch=False)]
burst("leader frozen too", 0.2)
steps += [leader.kill(watch=False), *(follower.resume() for follower in followers)]

# %% [markdown]
# **Compare:** `acks=0` counts what has left the program, even towards a frozen leader. `acks=1` counts what the leader has.
# `acks=all` waits for the followers. Now one of these becomes the leader, and whoever still waits goes on with it.
#
# **Predict:** how many of its 300 does each log hold?

# %%
lost = {}
for topic, ledger in acknowledged.items():
    assert producers[topic].flush(30) == 0
    log = set(texts(lab, topic))
    lost[topic] = len(set(ledger) - log)
    print(f"{topic:<9}{len(ledger)} acknowledged, {len(log)} in the log, {lost[topic]} lost")
restarted = leader.start()
assert lost == {"acks-all": 0, "acks-1": 100, "acks-0": 200}

# %% [markdown]
# **Compare:** 200 and 100 are gone, and nobody was told: the ledgers say *acknowledged*. The old leader, started again, does not bring them
# back: it follows the new one, and cuts off what that one does not have.
#
# And `acks=all`? It waits for all replicas *in sync at that moment*. When the followers have dropped out, that is the leader alone,
# unless `min.insync.replicas` demands two (lesson 07).
#
# *One sentence to keep: an acknowledgement is worth the copies that exist when it is given.*
#
# ## Sent again, stored twice
#
# The leader stores photos and freezes before it can say so. The producer hears nothing, gives up the
# connection (`socket.timeout.ms`: a minute by default, half a second here), and sends again.
#
# **Predict:** 1,000 photos, the leader frozen for 1.5 s, nobody killed. How many does the log hold? And with
# `enable.idempotence`, which numbers what is sent, so that the broker knows what it has already?

# %%
for idempotent in (False, True):
    leader = fresh("retries")
    settings = {"socket.timeout.ms": 500, "enable.idempotence": idempotent}
    producer = Producer(client | settings)
    producer.produce("retries", "first light")
    assert producer.flush(10) == 0
    frozen = leader.pause(watch=False)
    for number in range(1000):
        producer.produce("retries", f"photo {number}")
    producer.flush(1.5)
    resumed, left = leader.resume(), producer.flush(20)
    print(idempotent, "->", sum("photo" in text for text in texts(lab, "retries")), "in the log")

# %% [markdown]
# **Compare:** 2,000 without, 1,000 with. The broker knew the numbers.
#
# *One sentence to keep: retries without idempotence turn "at least once" into "sometimes twice".*
#
# ## One by one, or in batches
#
# Every request costs time, whether it carries one photo or hundreds. **Predict:** 300 photos, one every 2 ms: how many requests with
# `linger.ms` 0, how many with 100?

# %% tags=["nbval-ignore-output"]
import json

seen, requests = [], {}
counting = client | {"statistics.interval.ms": 100, "stats_cb": seen.append}
for linger in (0, 100):
    producer = Producer(counting | {"linger.ms": linger})
    for number in range(300):
        producer.produce("uploads", f"photo {number}")
        producer.poll(0.002)
    producer.flush(10)
    requests[linger] = sum(b["req"]["Produce"] for b in json.loads(seen[-1])["brokers"].values())
print("linger.ms -> requests:", requests)
assert requests[0] > 10 * requests[100]

# %% [markdown]
# **Compare:** more than ten times fewer, for a wait of at most a tenth of a second. Under load, batches fill by themselves.
#
# ## The ladder, live
#
# Three producers again, and a leader that freezes. Then press what you like: *kill it, followers behind* is the
# experiment above.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import AcksLadder

leader = fresh("ladder")
ladder = AcksLadder(lab, "ladder")
ladder.set(idempotence="on")
ladder.send()
ladder.freeze()
rungs = ladder.results()
assert (rungs["all"].acknowledged, rungs["all"].lost, rungs["all"].twice) == (1000, 0, 0)
ladder

# %% [markdown]
# ## Java has other defaults
#
# Most texts describe the Java client; Python's stands on the C library librdkafka:
#
# | setting | Java 3.9 | here |
# |---|---|---|
# | `acks` | all | -1 (all) |
# | `enable.idempotence` | true | false |
# | `max.in.flight` | 5 | 1000000 |
# | `linger.ms` | 0 | 5 |
# | `message.timeout.ms` (Java: `delivery.timeout.ms`) | 120000 | 300000 |
#
# So in Python you switch idempotence on yourself; it brings `max.in.flight` down to 5, which also keeps the order.
#
# ## Exercise 1: 5,000 acknowledged = 5,000 in the log
#
# Write `sender.py`: it sends `photo 0` to `photo 4999`, with a pause after every tenth, and prints its ledger, one line for
# each acknowledged photo with its offset: `photo 17 at 42` (the topic holds test pictures already). The check starts it, and **freezes the leader** up to three times for 1.5 s while
# it sends. Nothing may be lost, nothing be there twice. Keep the timeout that is there.

# %% tags=["starter"]
# %%program sender.py
# import sys
# import time
#
# from brokerlab.access import read_client
# from confluent_kafka import Producer
#
# client_file, topic = sys.argv[1:]
# producer = Producer({**read_client(client_file), "socket.timeout.ms": 500})
# for number in range(5000):
#     ...
#     if number % 10 == 0:
#         time.sleep(0.01)

# %% tags=["solution", "exercise-1"]
# %%program sender.py
# import sys, time
# from brokerlab.access import read_client
# from confluent_kafka import Producer
#
# client_file, topic = sys.argv[1:]
# producer = Producer({**read_client(client_file), "socket.timeout.ms": 500, "enable.idempotence": True})
# def report(error, message):
#     print(error or f"{message.value().decode()} at {message.offset()}")
# for number in range(5000):
#     producer.produce(topic, f"photo {number}", on_delivery=report)
#     producer.poll(0)
#     if number % 10 == 0: time.sleep(0.01)
# producer.flush()

# %%
q[1].check()

# %% [markdown]
# ## Exercise 2: survive a full local queue
#
# Write `send_all`: it hands over all `photos` to `producer`, whose queue holds 1,000, and returns when all are acknowledged. The check
# calls it with 5,000.

# %% tags=["starter"]
send_all = ...
# def send_all(producer, topic, photos):


# %% tags=["solution", "exercise-2"]
def send_all(producer, topic, photos):
    for photo in photos:
        while True:
            try:
                producer.produce(topic, photo)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


# %%
q[2].check(send_all)

# %% tags=["solution"]
q[1].assert_passed()
q[2].assert_passed(send_all)

# %% [markdown]
# ## In production
#
# - What must not be lost: `acks=all`, `min.insync.replicas=2` on the topic, `enable.idempotence=true`.
# - `message.timeout.ms` is how long the client tries. It should outlast a failover; after it, the delivery report has an error,
#   and the photo is yours again. Count these errors, and raise an alarm.
# - Idempotence covers what the client sends again, not what *you* send again. And duplicates have been seen
#   when a leader moved under an idempotent producer (librdkafka issue 4953): consumers should bear one (lesson 14).
# - Transactions write to several topics all or nothing; they are for programs that read from Kafka and write to Kafka.
# - A full local queue means: the brokers are slow. A larger queue only hides it.
#
# ## What you learned
#
# 1. `produce()` only queues; `poll()` and `flush()` serve delivery reports, and only these tell what is stored.
# 2. `acks=0` counts what was sent, `acks=1` what the leader has, `acks=all` what all replicas in sync have.
# 3. A retry can store twice; an idempotent producer is recognised.
# 4. `linger.ms` buys fewer requests with a short wait.
# 5. `BufferError` means *not taken*: poll, and hand over again.
#
# ## Clean up
#
# After a kernel restart there is no ladder to close: then leave out the first line.

# %%
ladder.close()
lab.delete_topics("uploads", "acks-all", "acks-1", "acks-0", "retries", "ladder")
lab.delete_topics("through-the-freeze", "past-the-queue")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [consumer groups](10_consumer_groups.ipynb), the other end of the queue.
