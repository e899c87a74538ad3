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
# # 08 · What ZooKeeper watches
#
# **A broker dies in the night. Who notices, and who does something about it?**
#
# The article of 2018 says that ZooKeeper monitors the brokers, and that corrective action is taken when one is down. By whom? Today
# you find out.
#
# ```mermaid
# sequenceDiagram
#     participant D as a broker that leads
#     participant Z as ZooKeeper
#     participant C as another broker: the controller
#     participant F as a follower
#     D->>Z: heartbeats
#     Note over D: dies
#     Note over Z: waits, then drops the znode
#     Z-->>C: /brokers/ids has changed
#     Note over C: decides
#     C->>F: you lead now
# ```
#
# ### What you'll do
# Hold a znode of your own and lose it; end brokers in three ways; take ZooKeeper away while photos flow.
#
# ### What you'll learn
# What a session and a watch are, who elects leaders, and what goes on without ZooKeeper.
#
# ### What you'll need
# 30 minutes, lessons 03 (znodes) and 07 (leader and ISR). Run the cells from the top. After a kernel restart: the first cell, the
# one that makes the picture, then the section you want.

# %% tags=["nbval-ignore-output"]
import time

import brokerlab
from brokerlab import observe, programs
from brokerlab.widgets import WatchLine
from confluent_kafka.admin import AdminClient, NewTopic
from kazoo.client import KazooClient

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("08_what_zookeeper_watches", lab)
zk = KazooClient(**lab.zookeeper_client)
assert lab.state == "usable" or lab.repair()

# %% [markdown]
# ## A session of your own
#
# To ZooKeeper brokers are nothing special. Any program may hold an *ephemeral* znode, a camera too: this one opens a *session*,
# writes its name, and stays until somebody types a line.
#
# `timeout=3` is the session's promise: "if you hear nothing from me for 3 seconds, I am gone". `kazoo` sends the heartbeats.

# %%
# %%program camera.py
# import sys
# from brokerlab.access import read_zookeeper
# from kazoo.client import KazooClient
# client_file, name = sys.argv[1:]
# session = KazooClient(**read_zookeeper(client_file), timeout=3)
# session.start()
# session.create(f"/cameras/{name}", ephemeral=True, makepath=True)
# print("registered")
# sys.stdin.readline()
# session.stop()

# %% [markdown]
# Two cameras register. We leave two *watches* on `/cameras`: "tell me when the names below change". `get_children(watch=...)` is the
# plain one, `ChildrenWatch` is kazoo's.
#
# Then camera 1 is told to go home and closes its session. Camera 2 is killed. **Predict:** after how long does each name go? And
# how often does each of the two watches fire?

# %%
cameras = [programs.run("camera.py", lab.zookeeper_client_file, f"camera-{n}") for n in (1, 2)]
print([camera.wait_for("registered") for camera in cameras])
zk.start(timeout=10)
plain, log = [], []
zk.get_children("/cameras", watch=lambda event: plain.append(event.type))
zk.ChildrenWatch("/cameras", lambda names: log.append((time.monotonic(), sorted(names))))
cameras[0].write("go home")
observe.wait_until(lab, lambda _: len(log) == 2, 15, "camera 1 to leave the list")
cameras[1].kill()
observe.wait_until(lab, lambda _: len(log) == 3, 15, "camera 2 to leave the list")
zk.delete("/cameras")
zk.stop()

# %%
times, names = zip(*log, strict=True)
closed, killed = times[1] - times[0], times[2] - times[1]
print(f"closed: gone after {closed:.1f} s")
print(f"killed: gone after {killed:.1f} s")
print("the plain watch fired:", len(plain), "time, and said:", plain)
print("ChildrenWatch was told:", *names)
assert closed < killed and killed > 1.5 and len(plain) == 1

# %% [markdown]
# **Compare:** the closed session ended at once. The killed camera could not say goodbye, so ZooKeeper waited for its promise to be
# broken: about 3 seconds. It did not look at the process; it counted the silence.
#
# A plain watch fires **once**, and says only *that* something changed. `ChildrenWatch` asks for the names and leaves a
# new watch, each time.
#
# *One sentence to keep: ZooKeeper notices silence, removes the name, and tells whoever left a watch; that is all it does.*
#
# ## Three ways to lose a broker
#
# A broker's znode in `/brokers/ids` is just such a name, and `/controller` is another (lesson 03). `photos` has one partition; the
# first broker in `order` leads it, and the controller comes last.
#
# The picture puts all of it on one clock. Watches tell it of znodes within milliseconds; processes (on the right) are asked
# ten times a second.

# %% tags=["nbval-ignore-output"]
lab.delete_topics("photos")
chief = observe.wait_until(lab, lambda now: now.controller, 20, "a controller").controller
order = sorted(lab.brokers, key=lambda number: number == chief)
admin = AdminClient({**lab.client, "log_level": 0})
photos = NewTopic("photos", num_partitions=1, replica_assignment=[order])
admin.create_topics([photos])["photos"].result(15)
watch = WatchLine(lab, "photos")
watch.wait_until(lambda seen: seen.now.leader == order[0], what="a leader for photos")
assert watch.now.controller == chief
watch

# %% [markdown]
# The leader is stopped in an orderly way (SIGTERM) and comes back. The next leader is killed (SIGKILL) and comes back. Then the
# **controller** itself is frozen (SIGSTOP): it does nothing more, and its connections stay open.
#
# **Predict:** which end is noticed first? And in which order do these two happen: the znode goes, the leader changes?

# %% tags=["nbval-ignore-output"]
story, before = {}, watch.now
for verb, back in (("stop", "start"), ("kill", "start"), ("pause", "resume")):
    now = watch.now
    broker = lab.brokers[now.controller if verb == "pause" else now.leader]
    getattr(broker, verb)()
    watch.wait_until(lambda seen: len(seen.now.isr) == len(seen.now.listed) == 2, what="two left")
    story[verb] = watch.happened()
    print(*story[verb], "", sep="\n")
    getattr(broker, back)()
    watch.wait_until(lambda seen: len(seen.now.isr) == len(seen.now.listed) == 3, what="all three")
watch


# %%
def after(verb, words):
    return next(one.since for one in story[verb] if words in one.text)


for verb in story:
    print(f"{verb:5}  its znode was gone after {after(verb, 'dropped'):.2f} s")
print("stop:  first the leader moves:", after("stop", "leader") < after("stop", "dropped"))
print("kill:  first the znode goes:  ", after("kill", "dropped") < after("kill", "leader"))
print("pause: another controller:    ", watch.now.controller != before.controller)
said = lab.brokers[before.controller].log(1, containing="failure callback")
print("in the log of who was controller:", "Broker failure callback" in said)
assert watch.now.epoch > before.epoch and after("stop", "dropped") < after("kill", "dropped")

# %% [markdown]
# **Compare:** an orderly stop is noticed at once, and it even begins at the other end: the broker asks the controller to move its
# leaders, and only then closes its session. After the kill nothing happens until the session's 3 seconds are nearly over. Then the
# znode goes, and a moment later there is a new leader.
#
# Who made it? Not ZooKeeper: it was the broker that was **controller** then, and its log says so. It had left a watch on
# `/brokers/ids`, as you did on `/cameras`.
#
# The frozen controller lost both of its znodes. The other two watch `/controller`; the faster one wrote it anew.
# `/controller_epoch` went up, so that nobody obeys the old one when it wakes.
#
# *One sentence to keep: ZooKeeper tells, the controller acts, and the controller is a broker that can be replaced.*
#
# ## Without ZooKeeper
#
# **Predict:** photos are sent, a hundred a second. ZooKeeper stops. Can photos still be written? Can a new consumer read them?
# Do the brokers lose each other when a session's 3 seconds are over?

# %%
from brokerlab.traffic import Traffic
from confluent_kafka import Consumer

traffic = Traffic(lab, "photos", settings={"acks": "all", "enable.idempotence": True})
observe.wait_until(lab, lambda _: traffic.ledger.acknowledged, 20, "the first photo")
lab.zookeeper.stop()
written = len(traffic.ledger.acknowledged)
settings = {**lab.client, "auto.offset.reset": "earliest"}
with Consumer(settings | {"group.id": "recogniser", "log_level": 0}) as consumer:
    consumer.subscribe(["photos"])
    read = [consumer.poll(15) for _ in range(written + 350)]
print("every photo could be read:", all(message and not message.error() for message in read))

# %% [markdown]
# **Compare:** nobody who sends or reads noticed. Messages never pass through ZooKeeper, and neither do consumers' offsets.
#
# **Predict:** ZooKeeper is still away. We kill the leader of `photos`. Who elects the next one?

# %%
leader = watch.now.leader
lab.brokers[leader].kill(watch=False)
observe.wait_until(lab, lambda _: traffic.ledger.waiting > 100, 20, "photos to pile up")
stuck = len(traffic.ledger.acknowledged)
time.sleep(4)  # longer than a session
(partition,) = observe.snapshot(lab).topic("photos").partitions
print("the brokers still name the dead leader:", partition.leader == leader)
print("photos written meanwhile:", len(traffic.ledger.acknowledged) - stuck)
assert partition.leader == leader and len(traffic.ledger.acknowledged) == stuck

# %% [markdown]
# **Compare:** nobody. Two healthy brokers hold every photo, and none of them leads. No session can end while nobody counts, so
# no watch fires, and the controller never hears of it.
#
# **Predict:** ZooKeeper starts again. Is the dead broker off the list at once? Do the living ones have to register anew?

# %% tags=["nbval-ignore-output"]
lab.zookeeper.start()
watch.wait_until(lambda seen: seen.now.works and len(seen.now.listed) == 2, 30, "a new leader")
came = watch.happened()
print(*came, sep="\n")
lab.brokers[leader].start()
lost = traffic.outcome().lost
anew = [one.text for one in came if "ZooKeeper lists" in one.text]
print("acknowledged photos that are lost:", len(lost), "· brokers that registered anew:", anew)
assert not lost and not anew and watch.now.leader != leader
watch

# %% [markdown]
# **Compare:** sessions are written on ZooKeeper's disk. It came back with all of them, the dead broker's too, and gave each a full
# new timeout. The living ones went on as if nothing had been; the dead one stayed silent, its znode went, the controller acted. (Had
# the dead broker been the controller too, you see that replaced first.) And the photos? They had waited in the producer.
#
# *One sentence to keep: without ZooKeeper the work goes on, but nothing is repaired.*
#
# Now the buttons: what if ZooKeeper is not stopped but *frozen* for 6 seconds, and resumed? Predict, then read the events.
#
# ## Exercise 1: log who leaves and who joins
#
# Write a watch that appends a pair to the list `events` for each broker that leaves or joins: `("left", 2)`, `("joined", 2)`. Use a
# client of your own. **The check kills broker 2, starts it again**, and looks at what your list gained.

# %% tags=["starter"]
events = ...
# your watch here

# %% tags=["solution", "exercise-1"]
events, known = [], set()
zk = KazooClient(**lab.zookeeper_client)
zk.start(timeout=10)


@zk.ChildrenWatch("/brokers/ids")
def log_changes(names):
    now = {int(name) for name in names}
    events.extend(("left", number) for number in sorted(known - now))
    events.extend(("joined", number) for number in sorted(now - known))
    known.clear()
    known.update(now)


# %% tags=["starter"]
q[1].check(events)

# %% tags=["solution"]
q[1].assert_passed(events)

# %% [markdown]
# ## Exercise 2: how soon is it noticed?
#
# Measure it without the picture: the seconds from the verb until broker 2's znode is gone, once with `stop()`, once with
# `kill()`. Put them into the dictionary `seconds`, under the keys `"stop"` and `"kill"`, and leave broker 2 running. **The check
# does the same to broker 2** and compares.

# %% tags=["starter"]
seconds = ...
# your measurement here

# %% tags=["solution", "exercise-2"]
gone, seconds = [], {}
zk = KazooClient(**lab.zookeeper_client)
zk.start(timeout=10)
zk.ChildrenWatch("/brokers/ids", lambda names: "2" in names or gone.append(time.monotonic()))
for verb in ("stop", "kill"):
    begun = time.monotonic()
    getattr(lab.brokers[2], verb)()
    observe.wait_until(lab, lambda _: len(gone) > len(seconds), 15, "the watch to fire")
    seconds[verb] = gone[-1] - begun
    lab.brokers[2].start()

# %% tags=["starter"]
q[2].check(seconds)

# %% tags=["solution"]
q[2].assert_passed(seconds)

# %% [markdown]
# ## In production
#
# - A session lasts 18 seconds (`zookeeper.session.timeout.ms`): after a crash a partition has no leader for about that long.
#   `lab.explain()` shows the lab's timers beside production's.
# - A shorter one is no bargain: a long pause of the Java garbage collector looks like your SIGSTOP, and everything the broker led
#   moves.
# - ZooKeeper is an *ensemble* of three or five servers. It works as long as more than half of them do.
# - Clients need no ZooKeeper address. A tool that asks for `--zookeeper` is from before Kafka 3.0.
# - Kafka 4 has no ZooKeeper: brokers send their heartbeats to Kafka's own controllers (lesson 16).
#
# ## What you learned
#
# 1. An ephemeral znode lives as long as its session; a session ends when it is closed, or after its timeout of silence.
# 2. A watch fires once and says that something changed; kazoo's `ChildrenWatch` renews it.
# 3. ZooKeeper drops the znode; the controller, a broker, elects the leaders.
# 4. If the controller goes, another broker writes `/controller`, and the epoch rises.
# 5. Without ZooKeeper messages flow on, but a leader that dies is not replaced until it is back.
#
# ## Clean up
#
# After a kernel restart there may be no picture to close: then leave out the first line.

# %%
watch.close()
zk.stop()
lab.delete_topics("photos")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [Producing safely](09_producing_safely.ipynb): what the producer was told, and what is in the log.
