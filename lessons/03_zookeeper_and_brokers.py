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
# # 03 · ZooKeeper and the brokers
#
# **Who has to be there first, and why?**
#
# Until now one call started everything. In 2018 the article did it by hand, with two commands and two files. So do you today.
#
# ```mermaid
# flowchart LR
#     zf[zookeeper.properties] -. read by .-> zookeeper{{"ZooKeeper, port 2181"}}
#     bf[server.properties] -. read by .-> broker[("Kafka server = broker, port 9092")]
#     broker -- "I am broker 0, reach me at ..." --> zookeeper
#     clients[producers, consumers] -- messages --> broker
# ```
#
# ### What you'll do
# Start both servers by hand, in the wrong order and in the right one; read their files; read the list that ZooKeeper keeps.
#
# ### What you'll learn
# What a broker needs in order to start, what ZooKeeper knows, and what it never sees.
#
# ### What you'll need
# 35 minutes, lesson 01, and the article's ports, 2181 and 9092.

# %% [markdown]
# ## Clear the table
#
# A lab of an earlier lesson would hold these ports, so this cell **stops it, with its topics**; if there is none, it says so,
# and that is fine. If another program has a port, the cell names it: end that program and run the cell again. (If it is your
# own, from a first try, restart the kernel.)
#
# `folder` is laid out like Kafka's own: `bin` holds the commands, `config` the files.

# %% tags=["nbval-ignore-output"]
import json
import re
import shutil

import brokerlab
from brokerlab import tools, topology
from confluent_kafka import Producer
from kazoo.client import KazooClient

# !brokerlab stop
topology.check_port_free("ZooKeeper", 2181)
topology.check_port_free("the Kafka server", 9092)
folder = tools.kafka_folder()
shutil.rmtree(folder / "data", ignore_errors=True)

# %% [markdown]
# ## Two files
#
# Each server reads one file of `name=value` lines. These matter today; `print(server.read_text())` shows the rest.

# %%
config = folder / "config"
server = config / "server.properties"
zookeeper_lines = ("clientPort=", "dataDir", "tickTime")
broker_lines = ("broker.id", "listeners", "log.dirs", "zookeeper.conn")
for file in (config / "zookeeper.properties", server):
    print(file.name)
    for line in file.read_text().splitlines():
        if line.startswith(zookeeper_lines + broker_lines):
            print("   ", line)

# %% [markdown]
# - `clientPort` is the door of ZooKeeper, `dataDir` is where it keeps its data, `tickTime` is its unit of time, in ms.
# - `broker.id` is the broker's name: a number that nobody else in the cluster may have.
# - `listeners` is the door of the broker, `log.dirs` is where the messages go.
# - `zookeeper.connect` is how a broker finds its cluster. There is no list of the other brokers in its file!
# - `zookeeper.connection.timeout.ms` is how long it waits for ZooKeeper when it starts.
#
# ## The wrong order
#
# **Predict:** you start the broker, and ZooKeeper is not there. Does it start without, fail at once, or wait?
#
# To keep the wait short we first put 6 seconds into its file, as the file of 2018 had it. Then comes the article's command,
# word for word; `background` runs it in `bin`, as a second terminal would.

# %%
original = server.read_text()
server.write_text(re.sub("(connection.timeout.ms)=.*", r"\1=6000", original))
broker = tools.background("sh kafka-server-start.sh ../config/server.properties")
print(broker.wait_for("Connection refused", 30))
exit_code = broker.wait(60)
server.write_text(original)

asked = sum("Opening socket connection" in line for line in broker.lines)
print("asked more than once:", asked > 1)
print(next(line for line in broker.lines if "ClientTimeoutException" in line))
assert exit_code == 1 and asked > 1

# %% [markdown]
# **Compare:** it waits, asks about once a second, and then it **ends**, with exit code 1. So "any order will do" is true
# only for a few seconds: had ZooKeeper come in time, the broker would have gone on.
#
# *One sentence to keep: a broker without ZooKeeper waits a while, then gives up.*
#
# ## The right order
#
# ZooKeeper first, word for word again.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import ZnodeTree

zookeeper = tools.background("sh zookeeper-server-start.sh ../config/zookeeper.properties")
print(zookeeper.wait_for("binding to port", 30))
tree = ZnodeTree("localhost:2181")
now = tree.wait_until(lambda now: now.answers, 30, "ZooKeeper to answer")
assert now.below("/brokers/ids") == []
tree

# %% [markdown]
# ZooKeeper keeps a small tree, like folders. An entry is called a *znode* and may hold a little data. This picture of it is
# live. Nobody has written anything yet.
#
# **Predict:** what will the broker write there? Now the second command. `kazoo` is a ZooKeeper client for Python.

# %%
broker = tools.background("sh kafka-server-start.sh ../config/server.properties")
broker.wait_for("started (kafka.server.KafkaServer)", 60)
tree.wait_until(lambda now: "/brokers/ids/0" in now and "/controller" in now, 20, "broker 0")
client = KazooClient("localhost:2181")
client.start(timeout=10)
data, state = client.get("/brokers/ids/0")
print("broker 0 says:", json.loads(data)["endpoints"])
print("ephemeral:", state.ephemeralOwner != 0)
print("/controller is there too:", client.exists("/controller") is not None)

# %% [markdown]
# **Compare:** it wrote its id and its address. The znode is *ephemeral*: it belongs to the
# broker's *session* with ZooKeeper, which heartbeats keep alive, and lives exactly as long. There is a second one,
# `/controller`: the broker that writes it first is the *controller* and takes the decisions for the cluster. Broker 0 had no
# competition.
#
# **Predict:** the broker stops. Who takes its name off the list?

# %%
broker.stop(15)
tree.wait_until(lambda now: "/controller" not in now, 15, "the znodes to go")
print("/brokers/ids:", client.get_children("/brokers/ids"))
assert client.exists("/brokers/ids/0") is None and client.exists("/controller") is None
client.stop()
zookeeper.stop()
tree.close()
shutil.rmtree(folder / "data")

# %% [markdown]
# **Compare:** ZooKeeper does. The session ended, and with it both znodes. After a crash it happens as well, but only when
# ZooKeeper has heard nothing for `zookeeper.session.timeout.ms` (lesson 08 measures it).
#
# *One sentence to keep: ZooKeeper's list is true because nobody has to remember to cross himself out.*
#
# ## Three brokers
#
# `brokerlab.start()` did just this in lesson 01: ZooKeeper, wait until it serves, then the brokers, all at once.

# %% tags=["nbval-ignore-output"]
lab = brokerlab.start(brokers=3, runtime="local")  # no containers: one will join by hand
q = brokerlab.exercises.load("03_zookeeper_and_brokers", lab)
tree = ZnodeTree(lab)
tree

# %% [markdown]
# **Predict:** in which lines do the three brokers' files differ? Below are these lines, with what ZooKeeper says of each
# broker; then the lab's settings beside production's.

# %%
client = KazooClient(**lab.zookeeper_client)
client.start(timeout=10)
for number, broker in lab.brokers.items():
    print(f"broker {number}, its file:")
    for line in broker.properties.splitlines():
        if line.startswith(("broker.id", "listeners", "log.dirs")):
            print("   ", line)
    data, state = client.get(f"/brokers/ids/{number}")
    print("    ZooKeeper:", *json.loads(data)["endpoints"])
lab.explain()

# %% [markdown]
# **Compare:** the id and the port. `log.dirs` differs too, although it looks the same: each broker runs in a folder of its
# own. Look at `zookeeper.session.timeout.ms` above: the lab gives up a silent broker after 3 s, production after 18 s.
#
# ## The controller leaves
#
# **Predict:** the broker that holds `/controller` stops. Does the cluster wait for it?

# %%
from brokerlab import observe

before = observe.wait_until(lab, lambda now: now.controller, 20, "a controller").controller
held = int(client.get("/controller_epoch")[0])
lab.brokers[before].stop()
observe.wait_until(lab, lambda now: now.controller not in (None, before), 20, "another controller")
print("another election was held:", int(client.get("/controller_epoch")[0]) > held)
lab.brokers[before].start()
print("brokers:", sorted(client.get_children("/brokers/ids")))

# %% [markdown]
# **Compare:** no. Its session ended, `/controller` went, and the others, who watch that znode, hurried to write it anew; one
# was first. The old controller came back as an ordinary broker. `/controller_epoch` counts these elections.
#
# ## What ZooKeeper never sees
#
# "Kafka runs on ZooKeeper, so the messages pass through it." Do they? **Predict:** a hundred photos of 10 kB go to Kafka. By
# how much does ZooKeeper's tree grow?


# %%
def bytes_kept():
    return int(re.search(r"approximate_data_size\s+(\d+)", client.command(b"mntr"))[1])


lab.delete_topics("photos")
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 3 --replication-factor 3
before = bytes_kept()
producer = Producer({**lab.client, "log_level": 0})
for _ in range(100):
    producer.produce("photos", value=bytes(10_000))
assert producer.flush(20) == 0, "not all photos were sent"
grown = bytes_kept() - before
print("a million bytes sent; ZooKeeper grew by less than ten thousand:", grown < 10_000)
assert grown < 10_000

# %% [markdown]
# **Compare:** next to nothing. The *name* of the topic is in the tree (look at the picture); the photos went straight to the
# brokers. ZooKeeper is the notice board, not the post van: it keeps who is there, who decides, which topics exist.
#
# ## Exercise 1: broker 4 joins
#
# Let a fourth broker join this cluster, by hand. Write a file of its own, `server-4.properties`, into `config`, and start it
# with `tools.background` as `fourth`. Broker 3's text, `lab.brokers[3].properties`, is a good beginning; let it keep its
# data in `../data/broker-4`. (`lab.add_broker()` does the same in one line. Not today.)

# %% tags=["starter"]
fourth = ...
# your file here, then fourth = tools.background("sh kafka-server-start.sh ...")

# %% tags=["solution", "exercise-1"]
port = max(broker.port for broker in lab.brokers.values()) + 1
text = lab.brokers[3].properties
text = text.replace("broker.id=3", "broker.id=4")
text = text.replace(f":{lab.brokers[3].port}", f":{port}")
text = text.replace("log.dirs=data", "log.dirs=../data/broker-4")
(config / "server-4.properties").write_text(text)
fourth = tools.background("sh kafka-server-start.sh ../config/server-4.properties")
assert fourth.wait_for("started (kafka.server.KafkaServer)", 60)

# %%
q[1].check(fourth)

# %% tags=["solution"]
q[1].assert_passed(fourth)

# %% [markdown]
# Nobody told brokers 1 to 3, yet they know: the controller watches the list. The newcomer holds no data; existing topics stay
# where they are.
#
# ## Exercise 2: find the controller
#
# Which broker is the controller now? The picture tells; let your program tell as well. Read the znode with `client`, and put
# the broker's id into `controller`, as a number.

# %% tags=["starter"]
controller = ...

# %% tags=["solution", "exercise-2"]
data, state = client.get("/controller")
controller = json.loads(data)["brokerid"]

# %%
q[2].check(controller)

# %% tags=["solution"]
q[2].assert_passed(controller)

# %% [markdown]
# ## Then and now
#
# | | Kafka 1.0 (2018) | Kafka 3.9 (this lab) | Kafka 4 |
# |---|---|---|---|
# | start | ZooKeeper, then brokers | the same, or without ZooKeeper | no ZooKeeper any more |
# | who keeps the list | ZooKeeper | ZooKeeper, or Kafka's own controllers | Kafka's own controllers (*KRaft*) |
# | a broker's name | `broker.id` | `broker.id` or `node.id` | `node.id` |
# | waits for ZooKeeper (sample file) | 6 s | 18 s | – |
# | is given up when silent (default) | 6 s | 18 s (ZooKeeper) | 9 s |
#
# ## In production
#
# - ZooKeeper runs on three or five machines, so that one may fail; one alone is a single point of failure.
# - A service manager starts the servers, and starts a broker again that has given up.
# - `listeners` names an address that clients on other machines can reach, and is encrypted.
# - Nobody removes `dataDir` or `log.dirs`.
#
# ## What you learned
#
# 1. ZooKeeper first: a broker that does not reach it waits, then ends with exit code 1.
# 2. Each broker needs its own `broker.id`, port and `log.dirs`; `zookeeper.connect` is shared.
# 3. A broker is in the cluster while its ephemeral znode is in `/brokers/ids`.
# 4. The controller is the broker that wrote `/controller` first.
# 5. ZooKeeper keeps the list; messages never pass through it.
#
# ## Clean up
#
# Broker 4 leaves and the lab stops: the next lesson begins with three brokers.

# %%
if isinstance(fourth, tools.BackgroundTool):
    fourth.stop(15)
tree.close()
client.stop()
lab.stop()
for data in (folder / "data", folder / "bin" / "data"):
    shutil.rmtree(data, ignore_errors=True)
print("the lab is", lab.state)
assert lab.state == "stopped"

# %% [markdown]
# Next: [Topics](04_topics.ipynb), where the messages live.
