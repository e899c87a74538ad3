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
# # 12 · Connectors
#
# **How does data get in and out without a program of mine?**
#
# ```mermaid
# flowchart LR
#     file[(file)] --> in1([source]) --> lines[[topic lines]] --> out1([sink]) --> copy[(file)]
#     table[(table)] --> in2([source]) --> orders[[topic orders]] --> out2([sink]) --> archive[(table)]
# ```
#
# Kafka Connect is a program that comes with Kafka. It runs **connectors**, which you do not write but configure: a **source** brings
# data into a topic, a **sink** takes it out. A connector's work is done by its **tasks**; the process they live in is a **worker**.
#
# ### What you'll do
# Copy a file through a topic, then a table; stop the worker, kill it, and count what is missing and what came twice.
#
# ### What you'll learn
# Where a connector keeps its place; why one source repeats after a crash and another loses; how a sink gets each row once.
#
# ### What you'll need
# 35 minutes, lessons 05 and 11. The first start fetches 34 MB more. After a kernel restart run the first three cells, then the
# section you want: Connect ends with the kernel, and begins with nothing.

# %% tags=["nbval-ignore-output"]
import json
import sqlite3
import time

import brokerlab
import httpx
from brokerlab.records import texts
from brokerlab.widgets import ConnectorBoard
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("12_connectors", lab)
assert lab.state == "usable"

# %% [markdown]
# A worker that begins with nothing, a small database, and two helpers: one waits (never for ever), one counts rows.

# %% tags=["nbval-ignore-output"]
connect = lab.connect
server = {**lab.client, "log_level": 0}
connect.clear()
lab.delete_topics("lines", "orders", "parcels", "ledger")
print(f"Kafka Connect runs after {connect.start():.1f} s")
shop = connect.files / "shop.sqlite"
database = sqlite3.connect(shop, isolation_level=None, timeout=10, check_same_thread=False)
database.executescript("PRAGMA journal_mode = WAL; CREATE TABLE archive (id, item);")
database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item, sent DEFAULT 0)")
new_topic = {"topic.creation.default.replication.factor": 3}
new_topic |= {"topic.creation.default.partitions": 1}
assert connect.state == "running" and not connect.connectors()


# %%
def wait(true, seconds=20):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it has not come in time"
        time.sleep(0.02)


def count(rows):
    return database.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]


# %% [markdown]
# ## A file goes in, a file comes out
#
# A connector is a handful of properties. One class reads lines from a file, the other writes records into one. **Predict:** how many
# lines of Python will move the data?

# %%
source, copy = connect.files / "in.txt", connect.files / "out.txt"
source.write_text("a photo\nan album\n")
file_source = {"connector.class": "FileStreamSource", "file": source, "topic": "lines"}
connect.put("lines-in", file_source | new_topic)
connect.put("lines-out", {"connector.class": "FileStreamSink", "file": copy, "topics": "lines"})
wait(lambda: copy.exists() and copy.read_text() == source.read_text())
url = f"{connect.url}/connectors/lines-in/status"
status = httpx.get(url, auth=connect.auth, trust_env=False).json()
print(
    status["connector"]["state"], [task["state"] for task in status["tasks"]], texts(lab, "lines")
)
assert status["tasks"][0]["state"] == "RUNNING"

# %% [markdown]
# **Compare:** none. `put` sends the properties to the worker's REST interface, which tells the states too. Here it
# listens on 127.0.0.1 alone, and where the lab asks for a password, so does it: `connect.auth`, else None. Whoever gets in may read any
# file.
#
# Each connector has a **place**. A source's is whatever tells where to go on, for a file a position; Connect keeps it in a file beside
# the worker, each second here. A sink is a consumer group, `connect-lines-out`, and its place the group's committed offset.
#
# **Predict:** we stop the worker in good order, write a line, and start it. Will the line come? And the old ones again?

# %%
wait(lambda: connect.offsets("lines-in"))
connect.stop()
with source.open("a") as file:
    file.write("a print\n")
connect.start()
wait(lambda: copy.read_text() == source.read_text())
print(texts(lab, "lines"))
assert texts(lab, "lines") == ["a photo", "an album", "a print"]

# %% [markdown]
# **Compare:** three lines, each once. A worker that is asked to end notes its places first.
#
# ## The worker is killed
#
# **Predict:** 200 lines are written, and as soon as some have arrived the worker dies (SIGKILL), with its place not noted. How many
# lines are missing in the end? How many came twice?

# %% tags=["nbval-ignore-output"]
for crash in range(5):
    before = len(texts(lab, "lines"))
    with source.open("a") as file:
        file.writelines(f"crash {crash}, line {n}\n" for n in range(200))
    wait(lambda before=before: len(texts(lab, "lines")) > before)
    connect.kill()
    connect.start()
    wait(lambda: set(texts(lab, "lines")) == set(source.read_text().splitlines()))
    if again := len(texts(lab, "lines")) - len(source.read_text().splitlines()):
        break
print(f"missing 0 (the wait above has seen them all), again {again}")
assert again > 0

# %% [markdown]
# **Compare:** missing 0, and whatever had come since the last note came again. The source notes a place only after the brokers have confirmed the records before it. Dead in
# between, it begins at the old place: **at least once**, as the worker of lesson 11 that commits after its work.
#
# *One sentence to keep: a source that notes its place after the brokers' answer repeats after a crash, and loses nothing.*
#
# ## A table goes in
#
# Apache Camel's connector runs any SQL. It keeps no place: it asks for rows that are not `sent`, and marks each one (`onConsume`).

# %%
CAMEL = "org.apache.camel.kafkaconnector.Camel"
table = {"camel.beans.shop": "#class:org.sqlite.SQLiteDataSource"}
table |= {"camel.beans.shop.url": f"jdbc:sqlite:{shop}?busy_timeout=5000"}
table |= {"value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter"}
query = "sql:SELECT id, item FROM orders WHERE sent = 0 ORDER BY id?dataSource=#shop"
query += "&onConsume=UPDATE orders SET sent = 1 WHERE id = :#id"
orders = table | new_topic | {"connector.class": f"{CAMEL}SourceConnector", "topics": "orders"}
orders |= {"camel.source.url": query, "camel.source.marshal": "json-jackson"}
connect.put("orders-in", orders)
database.execute("INSERT INTO orders (item) VALUES ('cup'), ('ball')")
wait(lambda: len(texts(lab, "orders")) == 2)
print(*texts(lab, "orders"))

# %% [markdown]
# Each row is a record of JSON. **Predict** the same two numbers for this source: 200 rows, and a kill as soon as half of them are marked. (A last
# row tells us when all that will come has come.)

# %% tags=["nbval-ignore-output"]
for _ in range(5):
    before = count("orders WHERE sent")
    database.execute("INSERT INTO orders (item) VALUES ('print')" + ", ('print')" * 199)
    wait(lambda before=before: count("orders WHERE sent") > before + 100)
    connect.kill()
    connect.start()
    last = database.execute("INSERT INTO orders (item) VALUES ('the last')").lastrowid
    wait(lambda last=last: json.loads(texts(lab, "orders")[-1])["id"] == last)
    if missing := last - len(set(texts(lab, "orders"))):
        break
print(f"of {last} rows {missing} are missing; not marked: {count('orders WHERE NOT sent')}")
assert missing and not count("orders WHERE NOT sent")

# %% [markdown]
# **Compare:** rows are missing, all of them are marked `sent`, and nobody complains. The row is marked when the connector has handed it
# over inside the worker, up to a second before it is on its way to the brokers. Dead in between, it is marked and gone: **at most once**.
#
# The cure is not a setting here: take a source that keeps its place with Connect (Debezium, which reads a database's own log; a JDBC
# source that goes by a growing number), or an outbox with a relay of your own (lesson 13).
#
# *One sentence to keep: ask of each source when it notes its place: before the brokers' answer it loses, after it it repeats.*
#
# ## A topic goes into a table
#
# A sink runs an SQL statement for each record. It reads as any consumer: at least once. The board shows all four connectors: what each
# has outside Kafka, what its topic holds, the difference, and its place.
#
# **Predict:** whose difference will not be 0, and with which sign?


# %% tags=["nbval-ignore-output"]
def table_sink(topic, statement):
    sink = table | {"connector.class": f"{CAMEL}SinkConnector", "topics": topic}
    sink |= {"camel.sink.url": f"sql:{statement}?dataSource=#shop"}
    return sink | {"camel.sink.unmarshal": "json-jackson"}


connect.put("orders-out", table_sink("orders", "INSERT INTO archive VALUES (:#id, :#item)"))
wait(lambda: count("archive") == len(texts(lab, "orders")))
outside = {"lines-in": lambda: len(source.read_text().splitlines())}
outside |= {"orders-in": lambda: count("orders"), "orders-out": lambda: count("archive")}
board = ConnectorBoard(lab, outside)
assert board.wait_until(lambda seen: seen.difference("orders-in") == -missing)
board

# %% [markdown]
# **Compare:** `lines-in` +, for what came twice; `orders-in` −, for what is lost; the table and its topic agree. Now press the buttons.
#
# 1. *Pause* `orders-out`; in a cell of your own insert a row: `orders` goes on, `archive` waits. *Resume*: it catches up.
# 2. *Kill*, insert, *Start*: the sinks wait for the session of the dead (3 s here, 45 s by default), then catch up.
#
# A sink that dies between its INSERT and its commit inserts again. So let repeating be harmless: a primary key, and a statement that
# may run twice.
#
# ## Exercise 1: each row once
#
# The topic `parcels` holds 10 parcels, each twice, as after a crash of its source. Put a sink `parcels-out` that fills the table `parcels`
# (its `id` is a primary key), so that each parcel is there once and the task goes on running. SQLite knows `INSERT OR IGNORE` and
# `INSERT OR REPLACE`. The next cell also prepares exercise 2.

# %%
tables = "parcels (id INTEGER PRIMARY KEY, item); CREATE TABLE ledger (id, item);"
database.executescript(f"CREATE TABLE {tables}")
new = [NewTopic(name, 1, 3) for name in ("parcels", "ledger")]
admin, producer = AdminClient(server), Producer(server)
done = [future.result(10) for future in admin.create_topics(new).values()]
for n in range(20):
    producer.produce("parcels", json.dumps({"id": n % 10, "item": f"parcel {n % 10}"}))
for n in range(10):
    producer.produce("ledger", json.dumps({"id": n, "item": f"entry {n}"}))
assert producer.flush(10) == 0
print("parcels:", len(texts(lab, "parcels")), "ledger:", len(texts(lab, "ledger")))

# %% tags=["starter"]
statement = ...
# connect.put("parcels-out", table_sink("parcels", statement))

# %% tags=["solution", "exercise-1"]
statement = "INSERT OR IGNORE INTO parcels VALUES (:#id, :#item)"
connect.put("parcels-out", table_sink("parcels", statement))

# %% tags=["starter"]
q[1].check()

# %% tags=["solution"]
q[1].assert_passed()

# %% [markdown]
# ## Exercise 2: the sink that was away
#
# The sink `ledger-out` copies `ledger` into a table without a primary key, and somebody removes it. Meanwhile 20 more entries come.
# Run this cell, then bring the sink back so that all 30 are in the table, each once. What does a sink's name have to do with its place?

# %%
ledger = table_sink("ledger", "INSERT INTO ledger VALUES (:#id, :#item)")
connect.put("ledger-out", ledger)
wait(lambda: count("ledger") == 10)
connect.remove("ledger-out")
for n in range(10, 30):
    producer.produce("ledger", json.dumps({"id": n, "item": f"entry {n}"}))
assert producer.flush(10) == 0
print("in the topic:", len(texts(lab, "ledger")), "in the table:", count("ledger"))

# %% tags=["starter"]
# connect.put(..., ledger)
q[2].check()

# %% tags=["solution", "exercise-2"]
connect.put("ledger-out", ledger)

# %% tags=["solution"]
q[2].assert_passed()

# %% [markdown]
# ## In production
#
# - Connect runs **distributed**: several workers share the connectors, and take over those of a worker that dies. Places and
#   configurations are in topics then, not in files.
# - The REST interface has no password by default (Kafka's basic-auth extension asks for one), and whoever gets in can read files and
#   databases with the worker's rights.
# - A task that fails stays `FAILED` until somebody restarts it: watch the states. `errors.tolerance` and a dead letter topic let a sink
#   step over bad records.
# - Formats: here plain lines and JSON; a schema registry keeps both ends agreeing.
# - Kafka 3.3 and later can make a source exactly once, if the connector's own place allows it, in distributed mode.
#
# ## What you learned
#
# 1. A source brings data into a topic, a sink out of it; you write properties, not a program.
# 2. A sink's place is the committed offset of the group `connect-NAME`; a source's is what it notes, or nothing.
# 3. Asked to end, a worker notes its places. Killed, a source repeats or loses, by when it notes.
# 4. A primary key and a statement that may run twice make each row arrive once.
#
# ## Clean up

# %%
board.close()
connect.clear()
lab.delete_topics("lines", "orders", "parcels", "ledger")
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: lesson 13 builds the ML queue, with a source of its own: an outbox and its relay.
