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
# # 01 · Start here
#
# **How can one program hand work to another that is busy, slow, or not even running yet?**
#
# A photo service has this question every second. Cameras send pictures; a recogniser, which is slow, says what is on
# them. In this course the two never call each other. The camera leaves a *message* with Kafka, and the recogniser
# fetches it when it is ready.
#
# ```mermaid
# flowchart LR
#     camera[producer] -- writes a message --> broker
#     subgraph kafka [Kafka]
#         broker[("broker 1, 2, 3")]
#     end
#     broker -- reads it, when ready --> recogniser[consumer]
#     zookeeper{{ZooKeeper}} -. keeps the list of living brokers .- broker
# ```
#
# Four words are enough for today. A **broker** is a server that stores messages. A **producer** writes them and a
# **consumer** reads them; both are ordinary programs. **ZooKeeper** is a small server that knows which brokers are alive.
#
# Nothing here is a simulation: you are about to start one ZooKeeper and three Kafka brokers on this machine.
#
# ### What you'll do
# Start a cluster, send one message through it, stop worrying about the kernel.
#
# ### What you'll learn
# What the four parts are, and how to bring them up, look at them and put them away.
#
# ### What you'll need
# 15 minutes, about 600 MB of free memory, no Java and no Docker. Run the cells from the top with Shift+Enter.

# %% [markdown]
# ## Is this machine ready?
# The doctor looks before anything starts. A line with ✗ says what to do.

# %% tags=["nbval-ignore-output"]
# !brokerlab doctor
assert _exit_code == 0  # noqa: F821 - set by the line above

# %% [markdown]
# ## Start the cluster
#
# **Predict:** how many programs will run afterwards that do not run now? Say a number aloud.

# %% tags=["nbval-ignore-output"]
import brokerlab

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("01_start_here", lab)

# %%
nodes = lab.status()["nodes"]
print(len(nodes), "programs:", ", ".join(node["name"] for node in nodes))
assert lab.state == "usable"

# %% [markdown]
# **Compare:** four. One ZooKeeper and three brokers, each a process of its own that can fail on its own. *Usable* means
# more than started: ZooKeeper answers, all brokers are registered with it, and one of them is the *controller*, the broker
# that takes the decisions for the cluster.
#
# Here they are. The map is live: it asks the cluster about six times a second, and shows what the cluster says.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import ClusterMap

view = ClusterMap(lab)
view

# %%
seen = view.wait_until(lambda now: len(now.registered) == 3, what="three registered brokers")
print("registered with ZooKeeper:", seen.registered)
assert seen.controller in seen.registered

# %% [markdown]
# ## One message, all the way through
#
# Messages live in a **topic**, a named log. Kafka comes with command line tools, and here is the first. Its address,
# `--bootstrap-server`, is where a client knocks first; any broker will do.

# %%
lab.delete_topics("greetings", "guestbook")
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic greetings --partitions 1 --replication-factor 3

# %% [markdown]
# Look at the map again: the topic is there, on three brokers at once. That is what *replication factor 3* means.
#
# Now the producer. `produce` only puts the message on a queue inside this program, `flush` waits until the cluster has it.

# `lab.client` is what every client needs to know: where to knock first and, where a lab asks for one, its password.

# %%
from confluent_kafka import Producer

producer = Producer(lab.client)
producer.produce("greetings", value="Hello from camera 1")
left = producer.flush(10)
print("messages still waiting to be sent:", left)
assert left == 0

# %% [markdown]
# The producer could end now; the message is stored. **Predict:** a consumer that starts only *after* the message was
# sent, will it see it?

# %%
from confluent_kafka import Consumer

beginning = {**lab.client, "auto.offset.reset": "earliest"}
with Consumer(beginning | {"group.id": "recogniser"}) as consumer:
    consumer.subscribe(["greetings"])
    message = consumer.poll(20)
assert message is not None, "no message within 20 s"
print(message.value().decode())

# %% [markdown]
# **Compare:** it does, because `auto.offset.reset` says `earliest`: who is new here starts at the beginning.
#
# *One sentence to keep: a producer and a consumer need not run at the same time, since the broker keeps the message
# between them.*

# %% [markdown]
# ## Lose the notebook, keep the cluster
#
# The cluster does not belong to this notebook's kernel. A small supervisor holds it as long as any notebook uses it, and
# for 60 seconds more. **Predict:** you restart the kernel. What happens to the message?
#
# Try it for real: *Kernel → Restart Kernel*, run the cell with `brokerlab.start`, and come back here. Below, a second Python
# does what a restarted kernel would do.

# %%
import subprocess
import sys

pids = "import brokerlab; print([b.pid for b in brokerlab.start().brokers.values()])"
second = subprocess.run(
    [sys.executable, "-c", pids], capture_output=True, text=True, timeout=60, check=True
)
ours = [broker.pid for broker in lab.brokers.values()]
print("the same three processes:", second.stdout.strip() == str(ours))
assert second.stdout.strip() == str(ours)

# %% [markdown]
# *One sentence to keep: `brokerlab.start()` starts a cluster only if none is there; otherwise it attaches to the one that is.*

# %% [markdown]
# ## Exercise 1: sign the guestbook
#
# Write a message of your own, text of your choice, to the topic `guestbook`, which exists now.
# Put the same text into `greeting`, so that the check can look for it in the cluster.

# %% tags=["nbval-ignore-output"]
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic guestbook --partitions 1 --replication-factor 3
assert "guestbook" in lab.topics()

# %% tags=["starter"]
greeting = ...
# your producer here

# %% tags=["solution", "exercise-1"]
greeting = "Hello from camera 7"
producer.produce("guestbook", value=greeting)
producer.flush(10)

# %%
q[1].check(greeting)

# %% [markdown]
# Stuck? `q[1].hint()`, as often as you like, and `q[1].solution()`.
#
# ## Exercise 2: read it back
#
# Read every message of `guestbook` with a consumer, and collect their texts in the list `received`.

# %% tags=["starter"]
received = ...
# your consumer here

# %% tags=["solution", "exercise-2"]
received = []
with Consumer(beginning | {"group.id": "visitor"}) as reader:
    reader.subscribe(["guestbook"])
    while message := reader.poll(20 if not received else 1):
        received.append(message.value().decode())

# %%
q[2].check(received)

# %% tags=["solution"]
q[1].assert_passed(greeting)
q[2].assert_passed(received)

# %% [markdown]
# ## In production
#
# - The three brokers stand on three machines, in three rooms; here they share one.
# - ZooKeeper is not one server but three or five, or it is gone: Kafka 4 does without (lesson 16).
# - Clients prove who they are and the lines are encrypted; here everything listens on this machine alone.
# - Nobody starts a cluster from a notebook. What the clients do, in the cells above, stays the same.
#
# ## What you learned
#
# 1. A broker stores messages in topics; producers write, consumers read, and they need not meet.
# 2. ZooKeeper knows which brokers are alive; one of the brokers is the controller.
# 3. `produce` is not sent until `flush` (or time) has done its work.
# 4. A new consumer group starts at the beginning only if `auto.offset.reset` says `earliest`.
# 5. `brokerlab.start()` starts or attaches; `lab.stop()` ends it for everybody.
#
# ## Clean up
#
# The topics go (watch the map); the cluster may stay for the next lesson. Close this notebook and it stops by itself a
# minute later.

# %%
lab.delete_topics("greetings", "guestbook")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [Why a queue?](02_why_a_queue.ipynb), the question that comes before all others.
