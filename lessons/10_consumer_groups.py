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
# # 10 · Consumer groups
#
# **One recogniser is too slow. Is six times as many six times as fast, and who does the work of one that dies?**
#
# ```mermaid
# flowchart LR
#     subgraph photos
#         p0[partition 0]
#         p1[partition 1]
#         p2[partition 2]
#     end
#     subgraph group [group: recognisers]
#         m1[member 1]
#         m2[member 2]
#     end
#     p0 --> m1
#     p1 --> m1
#     p2 --> m2
# ```
#
# A **consumer group** is a name. Consumers that give the same `group.id` are its **members**: they share the partitions of a
# topic, and each partition has exactly one **owner** among them. A broker, the group's *coordinator*, keeps the list.
#
# ### What you'll do
# Run one to six members on three partitions, close one, kill one, freeze one; let a second group read the same.
#
# ### What you'll learn
# What a group shares out, what a rebalance costs, and when a member counts as dead.
#
# ### What you'll need
# 40 minutes, lessons 05 and 06. After a kernel restart run the cells down to *Another group* again; then go on with any section.

# %% tags=["nbval-ignore-output"]
import brokerlab
from brokerlab import programs
from brokerlab.traffic import Traffic
from brokerlab.widgets import AssignmentBoard

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("10_consumer_groups", lab)
if "traffic" in globals():
    traffic.stop()  # noqa: F821 - this cell has run before
lab.delete_topics("photos", "albums")
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 3 --replication-factor 3
traffic = Traffic(lab, "photos", per_second=60)
assert lab.state == "usable" and traffic.running

# %% [markdown]
# The cameras now send 60 photos a second. Here is a member, in two files. `reading.py` holds what every member needs: who it is,
# and a loop that hands out photos until somebody asks the program to end (SIGTERM).

# %%
# %%program reading.py
# import signal, sys, threading
# from brokerlab.access import read_client
#
# client_file, topic, group, name, assignor = sys.argv[1:]
# settings = {**read_client(client_file), "group.id": group, "client.id": name, "auto.offset.reset": "earliest"}
# settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "partition.assignment.strategy": assignor}
# stop = threading.Event()
# signal.signal(signal.SIGTERM, lambda *_: stop.set())
#
# def photos(consumer):
#     while not stop.is_set():
#         message = consumer.poll(0.2)
#         if message is not None and message.error() is None:
#             yield message

# %% [markdown]
# `member.py` subscribes, and says what it is given, what is taken away, and what it reads. `close()` tells the group that it leaves.

# %%
# %%program member.py
# from confluent_kafka import Consumer
# from reading import photos, settings, topic
#
# def tell(word):
#     return lambda consumer, partitions: print(word, *(p.partition for p in partitions))
#
# consumer = Consumer(settings)
# consumer.subscribe([topic], on_assign=tell("assigned"), on_revoke=tell("revoked"), on_lost=tell("lost"))
# for photo in photos(consumer):
#     print("read", photo.partition(), photo.offset())
# consumer.close()

# %% [markdown]
# ## One member, then six
#
# The board shows the group as the cluster sees it. *Add a member* starts `member.py`, a process of its own. The buttons are yours
# after the next cell.

# %% tags=["nbval-ignore-output"]
board = AssignmentBoard(lab, "photos", "recognisers", program="member.py")
board

# %% [markdown]
# **Predict:** one member, three partitions: do two of them go unread? And with six members, how many partitions has each?

# %%
for number in range(1, 7):
    board.add()
    seen = board.settle(number)
    owned = sorted((len(share) for share in seen.shares.values()), reverse=True)
    print(f"{number} members own {owned}, idle: {len(seen.idle)}")
assert owned == [1, 1, 1, 0, 0, 0]

# %% [markdown]
# **Compare:** one member owns all three: nothing goes unread for want of members. From the fourth on they are **idle**: a partition is never split.
#
# *One sentence to keep: partitions cap a group; members beyond their number only stand by.*
#
# ## Another group, and what idle means
#
# **Predict:** the recognisers have read every photo so far. Now a second group starts with one member (`programs.run` starts it without a
# board). What is left for it?

# %%
archivist = programs.run("member.py", lab.client_file, "photos", "archive", "one", "range")
traffic.stop()
sent = sum(span.high for span in board.settle().group.spans)


def read(*members):
    return {line for member in members for line in member.lines if line.startswith("read ")}


both = board.programs.values(), [archivist]
board.wait_until(lambda now: all(len(read(*group)) == sent for group in both), 30, "all photos")
none = [number for number, member in board.programs.items() if not read(member)]
print("each group read every photo; members that read none:", none)
archivist.stop()
traffic = Traffic(lab, "photos", per_second=60)

# %% [markdown]
# **Compare:** everything. Groups do not see each other, and reading takes nothing away. Inside a group the work is divided: members 4,
# 5 and 6 read none, so six were no faster than three.
#
# *One sentence to keep: within a group each photo goes to one member, and every group gets them all.*
#
# ## Closed, and killed
#
# When a member comes or goes, the group shares out anew: a **rebalance**. A member that closes says so. One that is killed cannot. The
# coordinator only misses its **heartbeats**, the small signs of life that each member sends, and waits for `session.timeout.ms`: 6 s here,
# 45 s by default.
#
# **Predict:** for how long has a partition no reader, in either case? (The board counts it as *longest unread*.)

# %% tags=["nbval-ignore-output"]
board.close()
board = AssignmentBoard(lab, "photos", "night-shift", program="member.py")
board.add(3)
board.settle(3)
board.close_member(3)
closed = board.settle(2).unread
board.kill(2)
killed = board.settle(1).unread
print(f"unread at the close: {closed:.1f} s; after the kill: {killed:.1f} s")
assert closed < killed and killed > 5
board

# %% [markdown]
# **Compare:** tenths of a second against the whole session. Look at the dashed bar: the coordinator still counts on the dead member, the group is
# *stable*, and nobody reads its partition. That is why `kill -9` is no way to deploy.
#
# *One sentence to keep: close what you can; what crashes is waited for.*
#
# ## Who stops during a rebalance?
#
# An **assignor** decides who gets what. With `range`, this client's default, a rebalance is *eager*: everybody gives everything back, then it is
# dealt out. With `cooperative-sticky` members give back only what moves. The difference shows when one of them is slow to answer.
#
# **Predict:** member 2 is frozen, so it does not answer; member 3 wants to join. How many photos does member 1 read in the next second?


# %%
def reads_meanwhile(assignor):
    board = AssignmentBoard(lab, "photos", f"team-{assignor}", assignor=assignor)
    board.add(2)
    board.settle(2)
    board.pause(2)
    board.add()
    begun = board.wait_until(lambda now: now.group.state != "STABLE", what="the rebalance").taken
    heard = board.wait_until(lambda now: now.taken > begun + 1)
    later = board.wait_until(lambda now: now.taken > begun + 2)
    board.close()
    return later.cards[0].records - heard.cards[0].records


# %%
eager, cooperative = reads_meanwhile("range"), reads_meanwhile("cooperative-sticky")
print("eager:", eager, "· cooperative reads on:", cooperative > 0)
assert eager == 0 < cooperative

# %% [markdown]
# **Compare:** none, against business as usual. In the eager group member 1 has given its partitions back and waits for the slowest: *the world stops*.
# Watch it on the board above: choose an assignor, add two members, press *pause*, then *add*. (Members of one group must agree
# on the way, so close the others first.)
#
# *One sentence to keep: an eager rebalance is as slow as the slowest member, and everybody waits.*
#
# ## Alive, but stuck
#
# Heartbeats come from a thread in the background. **Predict:** a member polls once and then works on that photo for longer than its session, 2 s.
# Is it thrown out?

# %%
from brokerlab.groups import GroupObserver
from confluent_kafka import Consumer

who = {**lab.client, "group.id": "sketchers", "log_level": 0}
times = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 500, "max.poll.interval.ms": 6000}
with Consumer(who | times) as slow, GroupObserver(lab, "sketchers") as watch:
    slow.subscribe(["photos"])
    assert slow.poll(20) is not None  # and this was its last
    seen = watch.wait_until(lambda now, polled=watch.latest.taken: now.taken > polled + 3)
    print("after 3 s without a poll, members:", len(seen.members))
    print("later:", len(watch.wait_until(lambda now: not now.members, 20, "it to go").members))

# %% [markdown]
# **Compare:** not by its session; its heart beats. A second clock runs, `max.poll.interval.ms`: 5 minutes by default, 6 s here. Who has not
# polled for so long leaves the group. Lesson 14 meets this with a slow photo.
#
# *One sentence to keep: heartbeats prove that a process lives, polls prove that it works.*
#
# ## Exercise 1: nobody idle
#
# `albums` has six partitions. Bring up the group `indexers`: more than one member, none idle, all with the same number of partitions. Use the
# button or `board.add()`.

# %% tags=["starter", "nbval-ignore-output"]
board.close()
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --if-not-exists --topic albums --partitions 6 --replication-factor 3
board = AssignmentBoard(lab, "albums", "indexers", program="member.py")
board

# %% tags=["solution", "exercise-1", "nbval-ignore-output"]
board.close()
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --if-not-exists --topic albums --partitions 6 --replication-factor 3
board = AssignmentBoard(lab, "albums", "indexers", program="member.py")
board.add(3)
board.settle(3)
board

# %%
q[1].check()

# %% [markdown]
# ## Exercise 2: no photo twice
#
# This recogniser commits itself, after every 50 photos. When another member joins, its partitions may go in the middle of the fifty.
#
# The check sends photos to a topic of its own, starts one member of your program, then a second, closes the first, and counts the lines `done`: each photo
# must be there once. That takes some seconds. Run it with `program = "careful.py"` as it is, then complete the program.

# %% tags=["starter"]
# %%program careful.py
# from confluent_kafka import Consumer
# from reading import photos, settings, topic
#
# consumer = Consumer(settings | {"enable.auto.commit": False})
# consumer.subscribe([topic])
# for number, photo in enumerate(photos(consumer), start=1):
#     print("done", photo.value().decode())
#     if number % 50 == 0:
#         consumer.commit()
# consumer.close()

# %% tags=["solution", "exercise-2"]
# %%program careful.py
# from confluent_kafka import Consumer
# from reading import photos, settings, topic
#
# consumer = Consumer(settings | {"enable.auto.commit": False})
# consumer.subscribe([topic], on_revoke=lambda *_: consumer.commit())
# for number, photo in enumerate(photos(consumer), start=1):
#     print("done", photo.value().decode())
#     if number % 50 == 0:
#         consumer.commit()
# consumer.close()

# %% tags=["starter"]
program = ...
q[2].check(program)

# %% tags=["solution"]
q[1].assert_passed()
q[2].assert_passed("careful.py")

# %% [markdown]
# ## In production
#
# - Defaults: session 45 s, a heartbeat every 3 s, `max.poll.interval.ms` 5 minutes.
# - How many members can ever help is decided when the topic is made: give it more partitions than members today. But more
#   partitions move keys (lesson 06).
# - Change to `cooperative-sticky` for all members; to a group with another assignor a newcomer is never let in.
# - With a `group.instance.id` a member is *static*: a restart within its session causes no rebalance.
# - Kafka 4 has a new group protocol (KIP-848, `group.protocol=consumer`): the coordinator shares out, step by step, and nobody
#   stops the world.
# - A clean rebalance can be free of duplicates. A crash cannot (lesson 11).
#
# ## What you learned
#
# 1. A group shares partitions; each has one owner, and one member may own many.
# 2. More members than partitions are idle; more groups each read everything.
# 3. `close()` hands over at once; a crash costs the session timeout.
# 4. Eager rebalances stop everybody, cooperative ones only what moves.
# 5. Heartbeats keep a member in, and so must its polls; `on_revoke` is the moment to commit.
#
# ## Clean up
#
# The board ends its members with it.

# %%
board.close()
traffic.stop()
lab.delete_topics("photos", "albums")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [offsets, commits, replay](11_offsets_commits_replay.ipynb): where a group's place is kept, and what a crash does to it.
