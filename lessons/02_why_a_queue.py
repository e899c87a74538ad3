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
# # 02 · Why a queue?
#
# **Thirty people want something at the same moment, and one of them can be served. What becomes of the others?**
#
# A photo service has a front desk, which takes photos, and a recogniser, which says what is on them and is slow. There are
# three ways to put them together:
#
# ```mermaid
# flowchart LR
#     a([30 callers]) -- "call and wait" --> d1[desk] -- waits for --> r1[recogniser]
#     b([30 callers]) -- "call" --> d2[desk] --> m[(list in memory)] --> r2[recogniser]
#     c([30 callers]) -- "call" --> d3[desk] --> k[("Kafka")] --> r3[recogniser]
# ```
#
# ### What you'll do
# Build all three, from real processes. Let thirty callers come at once, kill something in the middle, and count who got an answer and which
# photos were lost.
#
# ### What you'll learn
# Why waiting for each other makes services unresponsive, what a queue changes, what it has to survive, and how many workers are enough.
#
# ### What you'll need
# 30 minutes, lesson 01. Run the cells from the top; after a kernel restart, the first cell and then the section that you want.

# %% tags=["nbval-ignore-output"]
import brokerlab
from brokerlab import programs
from brokerlab.frontdesk import crowd

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("02_why_a_queue", lab)
assert lab.state == "usable"

# %% [markdown]
# Until lesson 13 brings a real recogniser, `recognise` hashes a photo's name again and again: real work, as much as keeps a core of this machine busy for
# about 0.08 s.
#
# ## Call and wait
#
# `%%program` keeps a cell as a program, to be run in a process of its own. This one is a whole web service: whoever calls waits until his photo
# is done. (`request_queue_size` is how many callers may stand at the door.)

# %%
# %%program desk_that_waits.py
from http.server import BaseHTTPRequestHandler, HTTPServer

from brokerlab.work import recognise


class Desk(BaseHTTPRequestHandler):
    def do_POST(self):
        recognise(self.path)
        self.send_response(200)  # the answer; also prints a line, with POST in it
        self.end_headers()


HTTPServer.request_queue_size = 100
desk = HTTPServer(("127.0.0.1", 0), Desk)
print("port", desk.server_port)
desk.serve_forever()

# %% [markdown]
# `crowd` lets real HTTP clients call, all at the same moment. One alone, five times: the quickest shows the **service time**, what one
# **request** takes. Then thirty at once, with a *timeout* as sensible clients have it: each gives up after the time of five photos. When all have left, a last
# caller comes, who has patience.
#
# **Predict:** how many of the thirty get an answer? On how many photos does the desk work? And is the last caller, alone at the desk, served at once?

# %% tags=["nbval-ignore-output"]
desk = programs.run("desk_that_waits.py")
port = int(desk.wait_for("port").split()[-1])
alone = min(crowd(port, callers=1)[0].seconds for _ in range(5))
answers = crowd(port, callers=30, patience=5 * alone)
last = crowd(port, callers=1, patience=120)[0]
answered = sum(answer.status == "answered" for answer in answers)
exit_code = desk.stop()
in_vain = sum("POST" in line for line in desk.lines) - 5 - 1 - answered
print(f"service time {alone:.3f} s; of 30 callers {answered} answered, {30 - answered} gave up")
print(f"done for callers who had left: {in_vain}; the last one waited {last.seconds:.2f} s")
assert answered < 15 and in_vain == 30 - answered
assert last.status == "answered" and last.seconds > 2 * alone

# %% [markdown]
# **Compare:** about five, and surely fewer than half: each waits behind all who came before. The desk, which cannot see who has left,
# worked on all thirty, most of them in vain. And the last caller waited meanwhile.
#
# Now let the desk be one of ten services that call each other. Whoever calls it waits; who calls *them* waits too. One slow part, and the
# whole does not respond.
#
# *One sentence to keep: who calls and waits is as slow, as busy and as dead as the one he calls.*

# %% [markdown]
# ## A queue in memory
#
# So put the photo in line, say "accepted", and work later. What is accepted and not done yet is the **backlog**. `serve` is the
# web service from above as a function: it calls `line.put` with each photo, then answers.

# %%
# %%program desk_with_a_list.py
import queue
import threading

from brokerlab.frontdesk import serve
from brokerlab.work import recognise

line = queue.Queue()


def work():
    for count, photo in enumerate(iter(line.get, None), start=1):
        recognise(photo)
        print(count, "done", flush=True)


threading.Thread(target=work, daemon=True).start()
serve(line.put)

# %% [markdown]
# **Predict:** thirty callers again. How many get an answer now? Then the process is killed, when five photos are done. What happens to the other
# twenty-five?

# %% tags=["nbval-ignore-output"]
desk = programs.run("desk_with_a_list.py")
answers = crowd(int(desk.wait_for("port").split()[-1]), callers=30)
accepted = sum(answer.status == "answered" for answer in answers)
done_by_then = sum(line.endswith("done") for line in desk.lines)
desk.wait_for("5 done")
exit_code = desk.kill()
done = sum(line.endswith("done") for line in desk.lines)
print(f"{accepted} of 30 were answered, when {done_by_then} photos were done")
print(f"killed: accepted {accepted}, done {done}, lost {accepted - done}")
assert accepted == 30 and done_by_then < 30
assert 5 <= done < accepted

# %% [markdown]
# **Compare:** everybody had an answer before the work was done. But "accepted" was a promise, kept in the memory of one process. A crash, a new version, a
# restart: the line is gone, and nobody even knows who was in it.
#
# *One sentence to keep: a queue answers at once, and its answer is worth as much as the place where the queue is kept.*

# %% [markdown]
# ## The same through Kafka
#
# Now the line is a topic. The desk says "accepted" only when the cluster has the photo: `acks="all"` asks for that, on every replica that is in step, and
# `flush` waits for it (lesson 09). Where the cluster is, a program reads in `lab.client_file`.

# %%
# %%program desk_with_kafka.py
import sys

from brokerlab.access import read_client
from brokerlab.frontdesk import serve
from confluent_kafka import Producer

producer = Producer({**read_client(sys.argv[1]), "acks": "all"})


def accept(photo):
    producer.produce("photos", photo)
    if producer.flush(10) > 0:
        raise TimeoutError("not accepted: its caller gets no answer")


serve(accept)

# %% [markdown]
# The **worker** is another program. It takes a photo, does the work, and then *commits*: it tells the cluster how far it has come. A worker that sends no sign of life
# for 3 seconds counts as dead, and another gets what it had not committed.

# %%
# %%program worker.py
import sys

from brokerlab.access import read_client
from brokerlab.work import recognise
from confluent_kafka import Consumer

name = {"group.id": "recogniser", "auto.offset.reset": "earliest"}
life = {"enable.auto.commit": False, "session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
consumer = Consumer(read_client(sys.argv[1]) | name | life)
consumer.subscribe(["photos"])
while message := consumer.poll(60):
    recognise(message.value().decode())
    print("done", message.value().decode(), "at offset", message.offset())
    consumer.commit(message=message, asynchronous=False)

# %% [markdown]
# **Predict:** thirty callers; a worker, killed at its tenth photo; another worker. How many photos are lost? Could one be done twice?

# %% tags=["nbval-ignore-output"]
lab.delete_topics("photos")
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 1 --replication-factor 3
desk = programs.run("desk_with_kafka.py", lab.client_file)
answers = crowd(int(desk.wait_for("port").split()[-1]), callers=30)
first = programs.run("worker.py", lab.client_file)
first.wait_for("offset 9"), first.kill()
second = programs.run("worker.py", lab.client_file)
second.wait_for("offset 29", timeout=60), second.stop(), desk.stop()
accepted = sum(answer.status == "answered" for answer in answers)
done = [line for line in first.lines + second.lines if line.startswith("done")]
print(f"accepted {accepted}, lost {accepted - len(set(done))}, twice {len(done) - len(set(done))}")
assert accepted == len(set(done)) == 30 and len(done) <= 31

# %% [markdown]
# **Compare:** accepted 30, done 30, lost 0. When the callers were answered, no worker was even running. And *twice* is 0 or 1: who is killed after the work but
# before its commit leaves a photo that is done once more. For a payment that would matter. Lessons 09, 11 and 14 make a proof of this run.
#
# *One sentence to keep: a queue that outlives both sides makes "accepted" a promise that can be kept.*

# %% [markdown]
# ## How much can it take?
#
# The bench has all three desks, with real callers and workers. Two bars decide: the **arrival rate** (photos that come, a second) and what can be
# done: workers ÷ service time. Their ratio is the **utilisation**. Above 1 the backlog grows, queue or not.
#
# Watch *call and wait*, then try: the queue in memory, killed in mid-run; Kafka, with a worker killed; more workers than cores.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import LoadBench

bench = LoadBench(lab, seconds=5)
bench.set(front="call and wait", rate=30, work=80, fetch=0, workers=1)
bench.start()
bench.wait_until(lambda run: run.at > 3, 60, "three seconds of callers")
bench

# %%
run = bench.wait_until(lambda run: run.phase == "over", 90, "the end of the run")
print("faster than they can be done:", run.arrival_rate > run.capacity)
print("some gave up:", run.count("timed out") > 0, "· work in vain:", run.in_vain > 0)
assert run.arrival_rate > run.capacity and run.count("timed out") and run.in_vain

# %% [markdown]
# *One sentence to keep, **Little's law**: on average, as many workers are busy as arrival rate × service time.*
#
# ## Exercise 1: the fewest workers
#
# Some cameras are on a slow line. A worker waits 450 ms for such a photo (*fetching first*: meanwhile it needs no core) and recognises it in 10 ms.
# Five photos come a second. How many workers keep up, when one fewer would not? You may ask the bench.
#
# The check runs your number and one fewer for 8 seconds, and looks whether the backlog grows.

# %% tags=["starter"]
workers = ...

# %% tags=["solution", "exercise-1"]
service_time = 0.450 + 0.010
workers = int(5 * service_time) + 1  # 2.3 are busy on average

# %% tags=["starter"]
q[1].check(workers)

# %% tags=["solution"]
q[1].assert_passed(workers)

# %% [markdown]
# Stuck? `q[1].hint()`, as often as you like, and `q[1].solution()`.
#
# ## Exercise 2: a worker that may be killed
#
# This worker runs, and it has a mistake. The check puts 12 photos into a topic, starts the worker, **kills it in the middle of a photo**, starts it again,
# and counts. Run the check as it is, then mend the program. Print the line `done` as it is: the check compares the answer.

# %% tags=["starter"]
# %%program my_worker.py
import sys

from brokerlab.access import read_client
from brokerlab.work import recognise
from confluent_kafka import Consumer

client_file, topic, group, rounds = sys.argv[1:]
name = {"group.id": group, "auto.offset.reset": "earliest"}
life = {"enable.auto.commit": False, "session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
consumer = Consumer(read_client(client_file) | name | life)
consumer.subscribe([topic])
while message := consumer.poll(60):
    consumer.commit(message=message, asynchronous=False)
    print("done", photo := message.value().decode(), recognise(photo, int(rounds)))

# %% tags=["solution", "exercise-2"]
# %%program my_worker.py
import sys

from brokerlab.access import read_client
from brokerlab.work import recognise
from confluent_kafka import Consumer

client_file, topic, group, rounds = sys.argv[1:]
name = {"group.id": group, "auto.offset.reset": "earliest"}
life = {"enable.auto.commit": False, "session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
consumer = Consumer(read_client(client_file) | name | life)
consumer.subscribe([topic])
while message := consumer.poll(60):
    print("done", photo := message.value().decode(), recognise(photo, int(rounds)))
    consumer.commit(message=message, asynchronous=False)

# %% tags=["starter"]
q[2].check()

# %% tags=["solution"]
q[2].assert_passed()

# %% [markdown]
# ## In production
#
# - Clients that time out try again, and so do *their* clients: retries amplify an overload. Limit them, and wait longer before each.
# - A queue hides an overload until the backlog is a day long. Watch it, and refuse in time: *back pressure*, lesson 15.
# - A queue costs: the result comes later, somehow, to a caller who has gone; and there is one more system to run.
# - So call and wait where the answer is quick and needed now; queue what takes long or must not be lost.
#
# ## What you learned
#
# 1. Who calls and waits shares the other's slowness and failures; a timeout ends the waiting, not the work.
# 2. A queue separates *accepted* from *done*; the difference is the backlog.
# 3. What is accepted must survive the process that accepted it: in memory it does not, in Kafka it does.
# 4. Commit after the work: then a kill loses nothing, and may do a photo twice.
# 5. Busy workers = arrival rate × service time; a queue does not help for long against utilisation above 1.
#
# ## Clean up

# %%
bench.close()
lab.delete_topics("photos", "load-bench")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [ZooKeeper and the brokers](03_zookeeper_and_brokers.ipynb), started by hand, one by one.
