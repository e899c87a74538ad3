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
# # 15 · Scale and back pressure
#
# **More pictures come than one worker can look at. How many workers, who decides, and what if even all of them are too few?**
#
# ```mermaid
# flowchart LR
#     cameras([cameras]) -- "pictures" --> api[API server]
#     api -. "429: full, come later" .-> cameras
#     api --> log[("requests: 6 partitions")]
#     log --> w1[worker] & w2[worker] & w3[worker]
#     log -. "lag" .-> scaler{{autoscaler}}
#     scaler -. "starts, stops" .-> w3
# ```
#
# Two valves: one lets more workers in, the other fewer pictures.
#
# ### What you'll do
# Measure lag; add workers until it stops helping; let an autoscaler decide; fill the queue, and be refused.
#
# ### What you'll learn
# What limits a group of workers, what an autoscaler looks at, why refusing early is kind.
#
# ### What you'll need
# 40 minutes, lesson 13, and 1.5 GB of memory. After a kernel restart run the first two cells, then the section you want.

# %% tags=["nbval-ignore-output"]
import math
import sys
import time

import brokerlab
import httpx
import psutil
from brokerlab.mlqueue import MLQueue
from brokerlab.observe import wait_until
from brokerlab.pipeline.camera import Camera
from brokerlab.pipeline.scenes import scene

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("15_scale_and_back_pressure", lab)

# %% [markdown]
# The queue of lesson 13, without workers yet. Its pictures are large, 640 px, so that the detector is what takes time: about 25 ms of
# a processor each. We draw 24, and send them again and again; each sending is a request of its own. A `Camera` sends so many a
# second from threads of its own.

# %%
server = {**lab.client, "log_level": 0}
drawn = [scene(seed=15, index=number, size=640).picture for number in range(24)]
queue = MLQueue(lab, "scale")
queue.begin(workers=0)


def picture(number):
    return drawn[number % len(drawn)]


def send(count, per_second, **options):
    key = f"{time.monotonic_ns()}"  # what idempotency keys begin with
    return Camera(lambda: queue.url, picture, count, per_second, key=key, **options)


print("topics:", *queue.names.topics, "workers:", *queue.workers, sep="\n  ")

# %% [markdown]
# ## How far behind?
#
# The **lag** of a group is what its partitions hold (the end of each log) minus what it has committed. It needs no counter in any
# program: the cluster knows both. **Predict** it, when 40 pictures were accepted and nobody works.

# %%
from confluent_kafka import Consumer, TopicPartition


def lag(topic="scale-requests", group="scale-workers"):
    with Consumer(server | {"group.id": group}) as asking:  # it joins nothing: no subscribe()
        partitions = asking.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in partitions]
        ends = [asking.get_watermark_offsets(place, timeout=10)[1] for place in places]
        committed = [max(place.offset, 0) for place in asking.committed(places, timeout=10)]
    return sum(ends) - sum(committed)


send(40, 300).wait()
wait_until(lab, lambda _: lag() == 40, what="40 pictures in the topic")
print("lag:", lag(), "in", queue.names.requests)

# %% [markdown]
# **Compare:** 40. Nobody works, so nothing is committed.
#
# ## More workers
#
# **Predict:** if one worker does so many pictures a second, how many do two, and three, on *this* machine? While each pile is made,
# we freeze the relay, so that the pictures wait in the database (the outbox of lesson 13), and nobody begins too early.


# %%
def figures():  # seconds, processor seconds of all workers, pictures done
    crew = [psutil.Process(queue.parts[name].pid).cpu_times() for name in queue.workers]
    return time.monotonic(), sum(one.user + one.system for one in crew), queue.store.counts().done


def measured(workers):
    queue.scale(workers)
    queue.parts[f"worker-{workers}"].wait_for("assigned")  # it has its share of the partitions
    queue.pause("relay")
    send(60 * workers, 300).wait()
    queue.resume("relay")
    before = figures()
    queue.settle()
    return [after - at for after, at in zip(figures(), before, strict=True)]


# %% tags=["nbval-ignore-output"]
costs = []
for workers in (1, 2, 3):
    seconds, cpu, did = measured(workers)
    costs.append(cpu / did)
    print(f"{workers}: {did / seconds:.0f} a second, with {cpu / seconds:.1f} processors", end="")
    print(f" of {psutil.cpu_count()}, and {1000 * cpu / did:.0f} ms of one for each picture")
    assert cpu / seconds < psutil.cpu_count() + 0.2
assert max(costs) < 2.5 * min(costs)

# %% [markdown]
# **Compare:** a picture costs about the same, whoever looks at it. So pictures a second = processors that workers *get* ÷ processor time
# a picture. A worker is one more hand that asks for a processor. On a quiet machine with two, which brokers and API server need as well,
# the third worker asks in vain; on one with eight it does not.
#
# *One sentence to keep: processors do the work; workers only ask for them.*
#
# ## More workers than partitions
#
# Our requests have 6 partitions. To see the other limit with few processes, here is a queue whose requests have two. **Predict:** three
# workers; who does how much?

# %%
from confluent_kafka.admin import AdminClient, NewTopic

queue.scale(0)
with MLQueue(lab, "narrow") as narrow:
    lab.delete_topics("narrow-requests")
    admin = AdminClient(server)
    admin.create_topics([NewTopic("narrow-requests", 2, 3)])["narrow-requests"].result(10)
    narrow.begin(workers=3)
    assigned = [narrow.parts[name].wait_for("assigned") for name in narrow.workers]
    for number in range(30):
        narrow.store.accept(picture(number), "image/jpeg")  # what POST /images does
    narrow.settle()
    print(len(assigned), "work,", len({j.worker for j in narrow.store.jobs()}), "did something")

# %% [markdown]
# **Compare:** within a group a partition has one reader (lesson 10). The third waits for a partition, and costs its memory, about 130 MB here.
#
# ## Who decides?
#
# Not you, at three in the morning. An **autoscaler** looks at the lag every half second. Its rule is yours:

# %%
PARTITIONS, BUDGET = 6, 3


def desired(lag, per_worker=20):
    wanted = math.ceil(lag / per_worker)  # so much for each
    useful = min(wanted, PARTITIONS)  # more would idle
    affordable = min(useful, BUDGET)
    return max(1, affordable)  # somebody has to be there for the next picture


print({lag: desired(lag) for lag in (0, 1, 20, 21, 80, 5000)})

# %% [markdown]
# More workers are started at once. Fewer must have been wanted for 5 s: each change is a rebalance, in which all wait, and the next burst
# may be on its way (Kubernetes waits 5 minutes). **Predict** the steps of the third chart, if 80 pictures wait and nobody works yet.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import ScaleBoard

queue.scale(0)
board = ScaleBoard(queue, picture, rule=desired)
send(80, 400).wait()
board.set(scaling="autoscaler", per_worker=20)
board.wait_until(lambda seen: seen.last and seen.last.workers == BUDGET, 40, "three workers")
calm = board.wait_until(lambda seen: seen.lag == 0 and seen.last.workers == 1, 45, "one worker")
board.set(scaling="by hand")
assert (calm.last.accepted, calm.last.workers) == (calm.last.done, 1)
board

# %% [markdown]
# **Compare:** up in a second or two, down late, one by one or both.
#
# Now play. Let 20 come a second, then 60, then 120: when does the lag grow, and by how much? Choose *autoscaler*, and look again: what can it
# not do? Then 0 a second, and *by hand*.
#
# ## When even all are too few
#
# A queue without end takes everything. **Little's law** says what that means: waiting = pictures in line ÷ pictures done a second. 5,000 in
# line and 40 done a second: the next one waits two minutes, and its sender has long gone. So the API server gets a limit: `backlog_limit`.
# What is too much is told so at once: **429 Too Many Requests**, and when to come again. **Predict:** 40 may wait, nobody works, and the
# 41st comes.

# %%
queue.scale(0)
queue.stop("api")
queue.start("api", backlog_limit=40)
jpeg = {"Content-Type": "image/jpeg"}
answers = [httpx.post(f"{queue.url}/images", content=drawn[0], headers=jpeg) for _ in range(41)]
taken, refused = [a for a in answers if a.status_code == 202], answers[-1]
print(len(taken), "taken, then", refused.status_code, refused.reason_phrase)
print("Retry-After:", refused.headers["Retry-After"], "|", refused.json()["detail"])
assert (len(taken), refused.status_code) == (40, 429)

# %% [markdown]
# What a client makes of it is up to the client. Our camera can give up (`again=False`), or wait as it was told and send the same picture
# under the same key (`again=True`). **Predict** for each: 80 pictures, 400 a second, one worker; how many get in?

# %% tags=["nbval-ignore-output"]
queue.scale(1)
queue.settle()
hasty = send(80, 400, again=False)
hasty.wait()
queue.settle()
since = time.time()
honest = send(80, 400, again=True)
tries = max(one.tries for one in honest.wait())
queue.settle()
print(len(hasty.ids), "of 80 got in at once, and", len(honest.ids), f"with up to {tries} tries")
assert len(hasty.ids) < len(honest.ids) == 80

# %% [markdown]
# **Compare:** the honest one got all in. The waiting has moved to whoever sends, who can send less, keep pictures, or tell people. That
# is **back pressure**.
#
# And those who were let in? Little's law predicts the longest wait from the limit, roughly (the speed is an average); the database knows
# the real one.

# %% tags=["nbval-ignore-output"]
import sqlite3

waits = """SELECT max(stored_at - accepted_at), (count(*) - 1) / (max(stored_at) - min(stored_at))
           FROM jobs JOIN results ON results.job_id = jobs.id WHERE accepted_at > ?"""
longest, per_second = sqlite3.connect(queue.store.file).execute(waits, [since]).fetchone()
predicted = 40 / per_second
print(f"predicted: {predicted:.1f} s (40 in line, {per_second:.1f} done a second)")
print(f"measured:  {longest:.1f} s")
assert predicted / 3 < longest < 3 * predicted

# %% [markdown]
# *One sentence to keep: a limit on the line is a promise about the waiting.*
#
# ## The same worker, elsewhere
#
# A worker needs no notebook and no database, only brokers. This is the whole command, as it would run on another machine or in a
# container; what a cluster's owner demands (`security.protocol=SASL_SSL`, a password, ...) stands in a file. **Predict:** who did the
# last picture, and how does it end when it is told to?

# %%
import shlex

from brokerlab.background import Background

command = f"""{sys.executable} -m brokerlab.pipeline worker --name elsewhere --prefix scale
    --bootstrap-servers {lab.bootstrap_servers} --client-properties {lab.client_file}"""
queue.scale(0)
queue.store.accept(picture(0), "image/jpeg")
elsewhere = Background(shlex.split(command), name="elsewhere")
print(queue.settle().in_flight, "wait; done by", queue.store.jobs("done", 1)[0].worker)
print("exit code after SIGTERM:", elsewhere.stop(20))

# %% [markdown]
# **Compare:** `elsewhere`, and 0: it finished its picture, committed, and left the group.
#
# ## Exercise 1: 3,000 within a budget
#
# 3,000 small pictures are piled up. Write `rule`: it takes the lag and returns how many workers are wanted, 3 at most. An autoscaler runs it; beside it
# another pile has one worker for ever. Yours must be clearly faster; all must be done, and in the end one worker be left.

# %% tags=["starter"]
rule = ...
# def rule(lag):

q[1].check(rule)


# %% tags=["solution", "exercise-1"]
def rule(lag):
    return max(1, min(math.ceil(lag / 100), 3))


# %% tags=["solution"]
q[1].assert_passed(rule)

# %% [markdown]
# ## Exercise 2: nobody waits longer than 6 s
#
# One worker, pictures of 640 px, three times as many as it can do. Which backlog limit keeps the promise, without sending
# away more than must be? Your machine may get busier than it was when you measured `per_second`: leave room.

# %% tags=["starter"]
limit = ...

q[2].check(limit)

# %% tags=["solution", "exercise-2"]
limit = round(per_second * 2)  # two seconds, where six are allowed

# %% tags=["solution"]
q[2].assert_passed(limit)

# %% [markdown]
# ## In production
#
# - Kubernetes with KEDA does what our autoscaler does: `lagThreshold` is our `per_worker`, and it starts no more than there are partitions. [`deploy/`](../deploy/README.md) has our worker as a container, with a manifest.
# - Choose partitions for the workers you may need in a year: you can add some later (lesson 06: keys move), never remove any.
# - Autoscaling takes a minute: the limit is for that minute, and for the day when the budget is used up.
# - 429 or 503 with `Retry-After`, and clients that wait a little longer each time, and not all equally long: or they all come back at once.
# - Watch the oldest picture's age: it is what people feel.
#
# ## What you learned
#
# 1. Lag = ends of the logs − what the group has committed.
# 2. Pictures a second = processors that workers get ÷ processor time a picture; and a partition has one reader.
# 3. An autoscaler rounds up lag ÷ so much a worker, capped by partitions and budget; up at once, down late.
# 4. Waiting = pictures in line ÷ pictures done a second: a limit on the line is a limit on the waiting.
# 5. Refuse early, with a time to come again: the waiting moves to whoever can do something about it.
#
# ## Clean up
#
# After a kernel restart there may be no board: then leave out the first line.

# %%
board.close()
queue.end()
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: lesson 16, what became of ZooKeeper.
