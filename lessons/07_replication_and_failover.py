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
# # 07 · Replication and failover
#
# **A broker dies while the cameras send. Who notices, how long does it take, and what is lost?**
#
# ```mermaid
# flowchart LR
#     producer -- writes --> leader[("broker 1: leader")]
#     leader -- copied by --> f2[("broker 2: follower")]
#     leader -- copied by --> f3[("broker 3: follower")]
#     leader -- reads --> consumer
#     f2 -. takes over .-> consumer
# ```
#
# Each partition has as many **replicas** as its *replication factor* (RF) says. One is the **leader**: it takes all writes and serves
# the readers. The others, the followers, copy it. Those that have kept up, the leader included, are the **ISR**, the *in-sync
# replicas*. When a leader is gone, the controller names another member of the ISR.
#
# The article of 2018 shows fault tolerance with RF 1. We shall see how tolerant that is.
#
# ### What you'll do
# Stop, kill and freeze brokers while messages flow; lose fifty acknowledged photos on purpose.
#
# ### What you'll learn
# How long a failover takes and for whom, what `acks=all` promises, and which settings keep a message safe.
#
# ### What you'll need
# 45 minutes, lessons 01 and 04. Run the cells from the top. After a kernel restart: the first three code cells, then the section you were in.

# %% tags=["nbval-ignore-output"]
from collections import Counter

import brokerlab
from brokerlab.observe import snapshot, wait_until
from brokerlab.records import texts
from brokerlab.traffic import Traffic
from brokerlab.widgets import ReplicaMatrix
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("07_replication_and_failover", lab)
client = {**lab.client, "log_level": 0}
assert lab.state == "usable" or lab.repair()

# %% [markdown]
# `create` makes a topic anew and waits until it is `whole`: every replica in sync. `leader_of` says who leads its partition 0.


# %%
written, traffic = Counter(), None


def whole(now, *names):
    found = [now.topic(name) for name in names]
    return all(found) and all(set(p.isr) == set(p.replicas) for t in found for p in t.partitions)


def leader_of(name, now):
    return now.topic(name).partitions[0].leader if now.topic(name) else None


def create(name, replicas, settings, partitions=1):
    lab.delete_topics(name)
    admin, written[name] = AdminClient(client), 0
    admin.create_topics([NewTopic(name, partitions, replicas, config=settings)])[name].result()
    wait_until(lab, lambda now: whole(now, name), what=f"all replicas of {name}")


# %% [markdown]
# `write` is a producer with `acks=all` that gives up after 2.5 s. It numbers its photos (a number is used up when it was
# acknowledged) and counts the answers.


# %%
def write(topic, count=1):
    def answered(error, _):
        answers.update([error.name() if error else "ok"])

    answers = Counter()
    producer = Producer({**client, "acks": "all", "retries": 0, "message.timeout.ms": 2500})
    for number in range(written[topic], written[topic] + count):
        producer.produce(topic, f"photo {number}", on_delivery=answered)
    producer.flush(10)
    written[topic] += answers["ok"]
    return dict(answers)


# %% [markdown]
# ## Kill a leader while messages flow
#
# `Traffic` is our measuring instrument: a producer that sends 100 numbered messages a second and keeps a ledger of what was
# acknowledged. A consumer reads along. The matrix is live: its clock counts the seconds in which a partition had no leader that
# answers, and the time line shows who led.

# %% tags=["nbval-ignore-output"]
if traffic:
    traffic.stop()  # this cell was run before
create("requests", 3, {"min.insync.replicas": "2"}, partitions=3)
traffic = Traffic(lab, "requests", per_second=100, settings={"acks": "all"}, name="request")
consumer = Consumer({**client, "group.id": "recogniser"})
consumer.assign([TopicPartition("requests", number, 0) for number in range(3)])
read = {message.value() for message in consumer.consume(100, 20)}
assert len(read) == 100
matrix = ReplicaMatrix(lab, "requests", traffic=traffic)
matrix

# %% [markdown]
# Three partitions, each led by another broker. **Predict:** we kill the leader of partition 0, as a crash would. For how many seconds
# is nothing acknowledged there? And in partitions 1 and 2, whose leaders live?

# %% tags=["nbval-ignore-output"]
leader = leader_of("requests", snapshot(lab))
report = lab.brokers[leader].kill()
print(report)
wait_until(lab, lambda _: traffic.ledger.waiting < 50, what="the producer to catch up")
pauses = traffic.ledger.gaps
for number, seconds in sorted(pauses.items()):
    print(f"partition {number}: nothing acknowledged for {seconds:.1f} s")
assert pauses[0] == max(pauses.values()) > report.noticed / 2
assert sorted(pauses.values())[1] > report.noticed / 2, "another partition paused as well"
matrix

# %% [markdown]
# **Compare:** all three paused. ZooKeeper waits for the broker's *session* to run out, 3 s here, before it drops the znode; only then does the
# controller act. Partition 0 needs a new leader, and its clients must find it. The others waited too: `acks=all` waits for every
# member of the ISR, and the dead follower was one until the controller struck it off.
#
# **Predict:** two brokers are left. Does the consumer read on? What will be missing?

# %%
latest = b"request %d" % traffic.ledger.sent
for _ in range(30):
    read |= {message.value() for message in consumer.consume(100, 1) if not message.error()}
    if latest in read:
        break
print("a broker is", lab.brokers[leader].state, "- read on from the others:", latest in read)
lab.repair()
wait_until(lab, lambda now: whole(now, "requests"), what="every replica to be in sync")
outcome = traffic.outcome()
print("acknowledged, but not in the log:", len(outcome.lost))
assert latest in read and outcome.lost == ()

# %% [markdown]
# *One sentence to keep: a broker's death costs seconds, and no acknowledged message, as long as a live replica was in sync.*
#
# ## Stop, kill, freeze
#
# Three ways to lose a leader. `stop()` asks it to leave (SIGTERM), `kill()` is a crash (SIGKILL), `pause()` freezes it (SIGSTOP): its
# connections stay open, and nothing answers. Two producers write to one partition: a *patient* one with default settings, a *hurried*
# one that gives up on an open question after 3 s (`socket.timeout.ms`). **Predict** their pauses, three times two. (This takes about 20 s.)


# %%
def lose_leader(verb):
    create("uploads", 3, {"min.insync.replicas": "2"})
    patient = Traffic(lab, "uploads", name="patient")
    hurried = Traffic(lab, "uploads", settings={"socket.timeout.ms": 3000}, name="hurried")
    wait_until(lab, lambda _: min(done(patient), done(hurried)) > 50, what="traffic")
    leader = leader_of("uploads", snapshot(lab))
    report, goal, before = getattr(lab.brokers[leader], verb)(), done(hurried) + 50, done(patient)
    wait_until(lab, lambda _: done(hurried) > goal, what="the hurried producer to go on")
    seen = report.new_leaders, hurried.ledger.gap, patient.ledger.gap, done(patient) - before
    lab.repair()
    assert patient.stop() and hurried.outcome().lost == patient.outcome().lost == ()
    return seen


# %% tags=["nbval-ignore-output"]
def done(traffic):
    return len(traffic.ledger.acknowledged)


lab.delete_topics("grid-1-1")  # of an earlier run: with one copy it finds no other leader
seen = {verb: lose_leader(verb) for verb in ("stop", "kill", "pause")}
print("        new leader   hurried pauses   patient pauses")
for verb, (elected, hurried, patient, since) in seen.items():
    still = "" if since else ", and goes on pausing"
    print(f"{verb:5} {elected:10.1f} s {hurried:14.1f} s {patient:14.1f} s{still}")
assert seen["stop"][0] < seen["kill"][0] and seen["stop"][1] < seen["kill"][1]
assert seen["stop"][0] < seen["pause"][0] and seen["pause"][3] == 0

# %% [markdown]
# **Compare:** who stops in good order hands its leaders over first: tenths of a second. A kill costs the session, and some more. After
# the freeze there is a new leader just as soon, and the patient producer does not know: its question to the old one is
# still open. It would wait for 60 s, its default. A machine that loses its network looks like this: no farewell, only silence.
#
# *One sentence to keep: a failover is over when the client has found the new leader, not when there is one.*
#
# ## How many copies, how many must have it?
#
# RF says how many copies there shall be. `min.insync.replicas` (*min ISR*) says how many must be in sync, or a write with `acks=all`
# is refused. Three topics are named after these two numbers; `grid-1-1` is the article's. The fourth,
# `reckless`, comes later.


# %%
def readable(topics):
    consumer = Consumer({**client, "group.id": "grid"})
    consumer.assign([TopicPartition(name, 0, 0) for name in topics])
    found = {m.topic() for m in consumer.consume(1000, 3) if not m.error()}
    consumer.close()
    return found


grid = {"grid-1-1": (1, "1"), "grid-3-1": (3, "1"), "grid-3-2": (3, "2")}
for name, (replicas, least) in grid.items():
    create(name, replicas, {"min.insync.replicas": least})
create("reckless", 3, {"unclean.leader.election.enable": "true"})
print([write(name, 100) for name in (*grid, "reckless")])

# %% [markdown]
# **Predict** for each of the three: with one broker down (the one that has `grid-1-1`), and with two, can it be written? Read?

# %%
home = leader_of("grid-1-1", snapshot(lab))
first, second, last = sorted(lab.brokers.values(), key=lambda broker: broker.id != home)
table = []
for broker in (first, second):
    broker.stop()
    answers, found = {name: write(name) for name in grid}, readable(grid)
    table.append({name: (*answers[name], name in found) for name in grid})
    for name, (answer, read) in table[-1].items():
        print(f"{len(table)} down: {name} written: {answer:19} read: {read}")
assert list(table[0].values()) == [("_MSG_TIMED_OUT", False), ("ok", True), ("ok", True)]
assert list(table[1].values())[1:] == [("ok", True), ("NOT_ENOUGH_REPLICAS", True)]

# %% [markdown]
# **Compare:** the article's topic is gone with its broker: nobody answers. RF 3 survives one loss with either setting. With two brokers down, min ISR 2
# refuses new photos and serves old ones; min ISR 1 takes them, with *one* copy. `acks=all` means *all that are in sync*, and
# that may be the leader alone.
#
# The cluster stays as it is: one broker, alone. **Predict:** we write fifty more photos to `grid-3-1` and to `reckless`. Then the last broker
# crashes and the other two return. Who leads? Where are the fifty?

# %% tags=["nbval-ignore-output"]
matrix = ReplicaMatrix(lab, "grid-3-1")
print(len(snapshot(lab).registered), "broker:", [write(n, 50) for n in ("grid-3-1", "reckless")])
last.kill()
first.start()
second.start()
now = wait_until(lab, lambda s: leader_of("reckless", s) and s.topic("grid-3-1"), what="a leader")
end = len(texts(lab, "reckless"))
print("reckless:", written["reckless"], "acknowledged, but its log ends at", end)
print("grid-3-1 is led by", leader_of("grid-3-1", now))
assert end == 100 and leader_of("grid-3-1", now) is None
print("written after the election:", write("reckless", 10))
matrix

# %% [markdown]
# **Compare:** `grid-3-1` has two of three replicas running and no leader. Neither was in sync, so neither may lead: the topic waits for the
# broker that surely has everything. `reckless` allows *unclean leader election*: a replica that missed the fifty leads, and
# its log ends where it stopped copying. **Predict:** now the last broker returns, with the fifty on its disk.

# %%
lab.repair()
wait_until(lab, lambda now: whole(now, *grid, "reckless"), what="every replica to be in sync")
for name in ("grid-3-1", "reckless"):
    missing = {f"photo {number}" for number in range(written[name])} - set(texts(lab, name))
    print(f"{name}: {written[name]} acknowledged, {len(missing)} missing")
print("offset 100 of reckless holds", texts(lab, "reckless")[100])
assert missing == {f"photo {number}" for number in range(100, 150)}

# %% [markdown]
# **Compare:** it follows the new leader, and throws away what that one does not have. RF 3, `acks=all`, all fifty acknowledged: gone, and their offsets
# are given to other photos. `grid-3-1` lost nothing; the price was the time without a leader.
#
# *One sentence to keep: an acknowledged message is as safe as the number of replicas that had to have it.*
#
# ## Exercise 1: the vault
#
# Create the topic `vault` and choose the settings of its producer, so that losing any one broker costs no acknowledged message and
# **writing goes on**. The check sends traffic with your settings, kills the leader of partition 0 and
# repairs the lab; that takes about 15 s.

# %% tags=["starter"]
lab.delete_topics("vault")
# create the topic vault here
settings = ...  # a dict: what the producer needs beside bootstrap.servers
q[1].check(settings)

# %% tags=["solution", "exercise-1"]
create("vault", 3, {"min.insync.replicas": "2"})
settings = {"acks": "all"}

# %% [markdown]
# ## Exercise 2: name what was lost
#
# Lose acknowledged photos of `gamble` by an unclean election. Begin as below; `write` more at moments of your choice, also
# after the election; `lab.repair()` in the end. Which **offsets** held the lost photos?

# %% tags=["starter"]
create("gamble", 3, {})
write("gamble", 40)
# your gamble here
lost = ...  # for example [5, 6, 7]
q[2].check(lost)

# %% tags=["solution", "exercise-2"]
create("gamble", 3, {"unclean.leader.election.enable": "true"})
write("gamble", 40)
one, two, three = lab.brokers.values()
one.stop()
two.stop()
write("gamble", 25)  # broker 3 alone has them
three.kill()
one.start()
wait_until(lab, lambda now: leader_of("gamble", now), what="a leader")
write("gamble", 5)
lab.repair()
lost = list(range(40, 65))

# %% tags=["solution"]
q[1].assert_passed(settings)
q[2].assert_passed(lost)

# %% [markdown]
# ## In production
#
# - The session is 18 s by default, not 3 s: after a crash a partition is silent for that long.
# - The usual choice is RF 3, min ISR 2, `acks=all`: one broker may be missing. Restart brokers one at a time, with an
#   orderly stop, and wait until every replica is in sync before the next.
# - `broker.rack` names each broker's room, so that copies stand in different ones.
# - Unclean election is off by default. Switch it on for a topic when late is worse than lost (metrics, not orders).
#
# ## What you learned
#
# 1. One replica leads; when its broker dies, a member of the ISR takes over, and clients follow.
# 2. A stop costs tenths of a second, a crash the session, a frozen or unplugged broker also the client's own time-out.
# 3. `acks=all` means all that are *in sync*; `min.insync.replicas` says how many these must be.
# 4. RF 1 has no fault tolerance. RF 3 with min ISR 1 can lose acknowledged messages.
# 5. Without a replica in sync, Kafka waits; unclean election answers sooner and forgets.
#
# ## Clean up
#
# (After a kernel restart there is no matrix to close.)

# %%
matrix.close()
mine = ["requests", "uploads", "grid-1-1", "grid-3-1", "grid-3-2", "reckless", "vault", "gamble"]
lab.delete_topics(*mine)
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [What ZooKeeper watches](08_what_zookeeper_watches.ipynb) (optional), or
# [Producing safely](09_producing_safely.ipynb).
