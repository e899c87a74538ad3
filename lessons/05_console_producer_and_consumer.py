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
# # 05 · Console producer and consumer
#
# **Two terminals. You type in one, and it appears in the other. What is in between?**
#
# ```mermaid
# flowchart LR
#     you([keyboard]) --> p[console producer] -- one line, one message --> t[("topic_name")]
#     t -- one message, one line --> c[console consumer] --> screen([screen])
# ```
#
# Kafka comes with a producer that sends what is typed and a consumer that prints what arrives. They need no code, so
# everybody reaches for them first: to try, to look, to repair. They are also where most people meet their first surprise:
# a consumer that prints nothing.
#
# ### What you'll do
# Relay what you type, with the 2018 article's three commands too; read a topic of 100 photos four times, and be surprised once;
# read one partition; do all of it again in ten lines of Python.
#
# ### What you'll learn
# What the two tools do, what `--from-beginning` says and what it does not, and where a consumer group's place is kept.
#
# ### What you'll need
# 25 minutes, lessons 01 and 04. Run the cells from the top.

# %% tags=["nbval-ignore-output"]
from subprocess import getoutput

import brokerlab

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("05_console_producer_and_consumer", lab)
topic_name, gallery, cameras = map(lab.topic, ["topic_name", "gallery", "cameras"])
visitors, curators = lab.group("visitors"), lab.group("curators")
assert lab.state == "usable"

# %% [markdown]
# ## What is typed is relayed
#
# Below are the two terminals: left a real `kafka-console-producer.sh`, right a real `kafka-console-consumer.sh`, with their
# commands above them. The first line is typed for you; type one yourself on the left and press Enter. (The warning is about the `_` in the article's name for the topic;
# it does no harm here.)

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import TwinConsoles

lab.delete_topics(topic_name)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {topic_name} --partitions 1 --replication-factor 3
consoles = TwinConsoles(lab, topic_name, from_beginning=True)
consoles.type("good morning")
consoles.wait_for("good morning")
consoles

# %% [markdown]
# No mouse at hand? Python types just as well:

# %%
consoles.type("hello")
consoles.wait_for("hello")
print("typed and relayed:", "hello" in consoles.produced and "hello" in consoles.received)
assert "hello" in consoles.received

# %% [markdown]
# *One sentence to keep: the two programs do not know each other; each knows a broker's address and the name of a topic.*
#
# ## The article's commands, word for word
#
# In 2018 the article typed these, and they still work with the tools of Kafka 3.9. `--broker-list` is the old name of
# `--bootstrap-server`; Kafka 4.0 no longer takes it. They say `localhost:9092`, so the lab must have that port.
# `background` runs a command beside the notebook, so that no cell has to wait for its end.

# %%
from contextlib import suppress

from brokerlab.tools import background

server = "localhost:9092" if lab.capabilities.is_own else lab.bootstrap_servers
assert lab.on_article_ports or not lab.capabilities.is_own, (
    "Another program has port 9092 or 2181: `brokerlab doctor` names it. End it, then lab.stop(), and start again at the top."
)
typist = background(f"sh kafka-console-producer.sh --broker-list {server} --topic {topic_name}")
reader = background(
    f"sh kafka-console-consumer.sh --bootstrap-server {server} --topic {topic_name} --from-beginning"
)
typist.write("first light")
print("relayed:", reader.wait_for("first light"))

# %% [markdown]
# **Predict:** now a second consumer starts, *without* `--from-beginning`. Three messages or more are in the topic. Which of them
# will it print?
#
# A consumer that only sees what is new must be there first, and the tool does not say when it is. So knock until it answers.

# %%
late = background(f"sh kafka-console-consumer.sh --bootstrap-server {server} --topic {topic_name}")
for _ in range(30):
    typist.write("knock")
    with suppress(brokerlab.BrokerLabError):
        late.wait_for("knock", timeout=1)
        break
print("new message printed:", "knock" in late.lines, "· old one:", "first light" in late.lines)
assert "knock" in late.lines and "first light" not in late.lines
# !kafka-consumer-groups.sh --bootstrap-server {lab.bootstrap_servers} --list | grep ^{lab.group("console-consumer")} | sed 's/[0-9]*$/NNNNN/' | uniq -c
exit_codes = [tool.stop() for tool in (typist, reader, late)]

# %% [markdown]
# **Compare:** none of the old ones. It begins at the end of the log.
#
# Every consumer printed the knock: none takes a message away from the others, because they are in different *consumer
# groups*. A group is a name under which consumers share the work and remember their place. We named none, so the tool
# invented one for each, `console-consumer-` and a random number (the consumer in the picture above has one too).
#
# *One sentence to keep: without `--from-beginning` a console consumer prints only what arrives after it.*
#
# ## A hundred photos, read four times
#
# What can be typed can be piped: each line becomes a message.

# %%
lab.delete_topics(gallery)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {gallery} --partitions 1 --replication-factor 3
# !seq -f 'photo %g' 1 100 | kafka-console-producer.sh --bootstrap-server {lab.bootstrap_servers} --topic {gallery}
assert _exit_code == 0  # noqa: F821 - set by the line above

# %% [markdown]
# A console consumer runs until Ctrl-C. Two options end it: `--max-messages` after so many, `--timeout-ms` when nothing has come for
# so long.
#
# **Predict** four numbers. All four runs say `--from-beginning`; the first two say `--group visitors` too, the others name no
# group. How many photos does each print?

# %%
read = f"kafka-console-consumer.sh --bootstrap-server {lab.bootstrap_servers} --topic {gallery} --from-beginning"
counts = []
for group in (f"--group {visitors}", f"--group {visitors}", "", ""):
    printed = getoutput(f"{read} {group} --max-messages 100 --timeout-ms 5000")
    counts.append(printed.count("photo "))
    print(f"{counts[-1]:3}  {group or '(no --group)'}")
assert counts == [100, 0, 100, 100]
# !kafka-consumer-groups.sh --bootstrap-server {lab.bootstrap_servers} --describe --group {visitors}

# %% [markdown]
# **Compare:** 100, then 0. The table says why. `visitors` has *committed* offset 100 (`CURRENT-OFFSET`): it told the cluster
# "we have read everything before number 100". The log ends at 100, so its `LAG`, what is left to read, is 0. The second run
# was in the same group and went on from there. `--from-beginning` was not even looked at.
#
# The runs without `--group` got a new invented name each time. A new group has committed nothing, so it begins where
# `--from-beginning` says, and the tool switches committing off for it. Hence 100 and 100.
#
# *One sentence to keep: the group's committed offset decides; `--from-beginning` only says where a group begins that has none.*
#
# ## Keys, and one partition
#
# A message may carry a **key**, for example the camera that took the photo. The console producer takes it from the line, if told
# how: all before the `:` is the key. Equal keys go to the same partition (lesson 06 says which). **Predict:** nine messages of
# four cameras, three partitions. How many will partition 0 get? (We print partitions and keys only, and count equal lines.)

# %%
lab.delete_topics(cameras)
# !kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic {cameras} --partitions 3 --replication-factor 3
# !printf 'camera-%s\n' 1:cat 3:ship 6:bus 10:clock 6:tree 1:fish 10:dog 3:house 6:apple | kafka-console-producer.sh --bootstrap-server {lab.bootstrap_servers} --topic {cameras} --property parse.key=true --property key.separator=:
# !kafka-console-consumer.sh --bootstrap-server {lab.bootstrap_servers} --topic {cameras} --from-beginning --max-messages 9 --timeout-ms 9000 --property print.partition=true --property print.key=true --property print.value=false 2>/dev/null | sort | uniq -c
print("Only partition 0, from offset 1:")
# !kafka-console-consumer.sh --bootstrap-server {lab.bootstrap_servers} --topic {cameras} --partition 0 --offset 1 --max-messages 1 --timeout-ms 9000

# %% [markdown]
# **Compare:** two, both of camera 3, at offsets 0 and 1. The last command names its place itself, with `--partition` and `--offset`, so there is no
# group to ask: the tool refuses `--group` beside `--partition`.
#
# ## The same in Python
#
# Both tools are small programs around a client, and you can write them. First a producer; the console reads what it wrote.
# **Predict:** `visitors` again, `--from-beginning` again. How many photos?

# %%
from confluent_kafka import Consumer, Producer

producer = Producer(lab.client)
producer.produce(gallery, value="photo 101")
assert producer.flush(10) == 0

again = f"--topic {gallery} --from-beginning --group {visitors} --max-messages 1 --timeout-ms 9000"
printed = getoutput(f"kafka-console-consumer.sh --bootstrap-server {lab.bootstrap_servers} {again}")
print(printed)
assert "photo 101" in printed.splitlines()

# %% [markdown]
# **Compare:** one, the new one. A group goes on where it stopped, whoever wrote the message, and with whatever program.
#
# Now a consumer. `auto.offset.reset` is what `--from-beginning` sets behind the scenes: where to begin *if there is no committed
# offset*.

# %%
settings = {**lab.client, "auto.offset.reset": "earliest"}
photos = []
with Consumer(settings | {"group.id": lab.group("visitors-in-python")}) as consumer:
    consumer.subscribe([gallery])
    while message := consumer.poll(1 if photos else 8):
        photos.append(message.value().decode())
print(len(photos), "photos:", photos[:1], "to", photos[-1:])

# %% [markdown]
# A hundred of them were typed by a console producer. Run the cell a second time: predict the number first.
#
# ## Exercise 1: read only partition 1
#
# What does partition 1 of `cameras` hold? Put the texts, without keys, in the log's order, into the list `texts`. Use the console
# tool and `getoutput`, or Python.

# %% tags=["starter"]
texts = ...
# your command here

# %% tags=["solution", "exercise-1"]
one_partition = f"--topic {cameras} --partition 1 --offset earliest --timeout-ms 3000"
texts = getoutput(
    f"kafka-console-consumer.sh --bootstrap-server {lab.bootstrap_servers} {one_partition} 2>/dev/null"
).splitlines()

# %%
q[1].check(texts)

# %% [markdown]
# ## Exercise 2: rewind a group
#
# The group `curators` shall read all of `gallery` now, and be *able* to read all of it again tomorrow.
#
# 1. Let a console consumer of that group read to the end.
# 2. Then move its committed offset back to the beginning: `kafka-consumer-groups.sh` can do it, with `--reset-offsets` and
#    `--to-earliest`. Read what it answers. Do not read the photos again; that is for tomorrow.
# 3. How many photos will the group's next consumer print? Put the number into `lag`.

# %% tags=["starter"]
lag = ...
# your commands here

# %% tags=["solution", "exercise-2"]
server = f"--bootstrap-server {lab.bootstrap_servers}"
of_curators = f"kafka-consumer-groups.sh {server} --group {curators}"
getoutput(
    f"kafka-console-consumer.sh {server} --topic {gallery} --group {curators} --from-beginning --max-messages 101 --timeout-ms 9000"
)
getoutput(f"{of_curators} --topic {gallery} --reset-offsets --to-earliest --execute")
table = getoutput(f"{of_curators} --describe")
row = next(line.split() for line in table.splitlines() if line.startswith(curators))
lag = int(row[5])
print("committed:", row[3], "· end of the log:", row[4], "· lag:", lag)

# %%
q[2].check(lag)

# %% tags=["solution"]
q[1].assert_passed(texts)
q[2].assert_passed(lag)

# %% [markdown]
# ## In production
#
# - The console tools are for trying, looking and repairing; each run starts a Java program. Work is done by clients that stay.
# - A console consumer with a real application's `--group` joins that group and takes messages from the application, and commits
#   them. Look at live topics without `--group`, or with `--partition`.
# - Stop the application before you reset its group's offsets. Keep the table of the dry run: it is your way back.
# - A group's offsets are forgotten some days after its last member left (`offsets.retention.minutes`, seven days). Then
#   `auto.offset.reset` decides again.
#
# ## What you learned
#
# 1. The console producer sends each line as a message; the console consumer prints each message as a line.
# 2. Without `--from-beginning` only new messages show, and without `--group` the tool invents a group that commits nothing.
# 3. A group that has committed goes on from there, `--from-beginning` or not: 100, then 0.
# 4. `parse.key`, `print.key`, `--partition`, `--offset` look closer; `--max-messages` and `--timeout-ms` make the tool end.
# 5. A Python client does the same, with the same groups, on the same messages.
#
# ## Clean up
#
# After a kernel restart there are no consoles to close: then leave out the first line.

# %%
consoles.close()
lab.delete_topics(topic_name, gallery, cameras)
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: [Partitions and keys](06_partitions_and_keys.ipynb) asks which partition a key goes to, and what order a topic keeps.
