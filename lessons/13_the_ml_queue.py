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
# # 13 · The ML queue
#
# **Hundreds of pictures come at once, for a recogniser that manages fewer. What does each caller feel, and is every picture
# answered?**
#
# ```mermaid
# flowchart LR
#     ui([UI: you, cameras]) -- "POST: 202 and an id" --> api[API server]
#     api -- "one transaction" --> db[("database: job + outbox")]
#     db -- relay --> requests[["requests topic"]]
#     requests -- one by one --> box[workers: the ML black box]
#     box --> results[["results topic"]]
#     results -- collector --> db
#     ui -. "GET, later" .-> api
# ```
#
# This is the article's picture, and all of it runs here.
#
# ### What you'll do
# Send pictures over HTTP; crash between two lines of SQL; let the same burst hit a server without a queue and one with it;
# compose a picture of your own.
#
# ### What you'll learn
# What 202 promises, what an outbox is for, why an idempotency key belongs to the picture.
#
# ### What you'll need
# 45 minutes, lessons 02, 09 and 11. After a kernel restart run the first two cells, then the section you want.

# %% tags=["nbval-ignore-output"]
import json
import sqlite3
import sys
import time
from tempfile import TemporaryDirectory

import brokerlab
import httpx
from brokerlab import programs
from brokerlab.background import Background
from brokerlab.mlqueue import MLQueue

lab = brokerlab.start(brokers=3)
q = brokerlab.exercises.load("13_the_ml_queue", lab)

# %% [markdown]
# The queue's parts are processes of their own. API server and workers share this machine's cores, which they would not in
# production; so the workers get `nice=10`: the API server goes first.

# %%
from brokerlab.pipeline.camera import Camera, percentile
from brokerlab.pipeline.scenes import Placed, compose, scene

queue = MLQueue(lab)
queue.begin(workers=2, nice=10)
api = httpx.Client(base_url=queue.url, headers={"Content-Type": "image/jpeg"}, timeout=10)
photo = scene(seed=13, index=1, size=320)  # a drawn picture of which we know what is in it
large = [scene(13, index, 640).picture for index in range(24)]
print(queue)

# %% [markdown]
# ## The black box
#
# The recogniser is a small neural network. It looks at one picture at a time; a larger one takes longer. It knows 32 objects as
# OpenMoji draws them, 24 to 128 px long, tilted by up to 30 degrees. In 500 scenes of 320 px that it had never seen it found every
# object, and 99.6 % of what it reported was right (`detector.json`). It has never seen a photograph.
#
# **Predict:** does it find a cat that lies on its side?

# %% tags=["nbval-ignore-output"]
from brokerlab.pipeline.detector import Detector, match
from brokerlab.widgets.request_picture import answer

black_box = Detector()
found = black_box.detect(photo.picture)
assert match(photo.objects, found) == (len(photo.objects), 0, 0)  # all, none missed, none made up
for tilt, seen in ((0, True), (30, True), (90, False)):
    cat = compose([Placed("cat", left=100, top=100, width=80, height=80, tilt=tilt)])
    names = [one.label for one in black_box.detect(cat.picture)]
    print(f"a cat, tilted by {tilt} degrees: {names}")
    assert ("cat" in names) is seen
answer(photo.picture, found, photo.size, "what the black box found")

# %% [markdown]
# **Compare:** on its side it is no cat, and perhaps something else, with little confidence. The number beside a name is its confidence, not a proof.
#
# ## 202: I have it
#
# `202 Accepted` means: *taken, not done yet*. The answer brings an id, and says where to ask. **Predict:** what does the first `GET`
# say, a moment later, and what the last?

# %% tags=["nbval-ignore-output"]
posted = api.post("/images", content=photo.picture)
print(posted.status_code, posted.json(), "ask at", posted.headers["Location"])
for _ in range(200):
    job = api.get(posted.headers["Location"]).json()
    print(job["state"], end=" ")
    if job["state"] == "done":
        break
    time.sleep(0.05)
print([one["label"] for one in job["detections"]])
assert posted.status_code == 202 and len(job["detections"]) == len(photo.objects)

# %% [markdown]
# **Compare:** `accepted`: it is in the database; `queued`: in the topic; `done`: a worker has looked.
#
# Now the answer gets lost on its way. The sender cannot know whether the picture was taken, so it must send again. An **idempotency
# key**, made up by the sender, tells the server that it is the same picture. **Predict:** the same key twice: how many jobs? The
# same key with another picture?

# %%
key = {"Idempotency-Key": f"holiday-{time.time_ns()}"}
first, again = (api.post("/images", content=photo.picture, headers=key).json() for _ in range(2))
other = api.post("/images", content=large[0], headers=key)
print("same id:", first["id"] == again["id"])
print(other.status_code, other.json()["code"])
with sqlite3.connect(queue.store.file) as database:
    where = "WHERE idempotency_key = ?"
    jobs = database.execute(f"SELECT id FROM jobs {where}", [*key.values()]).fetchall()
assert jobs == [(first["id"],)] and first["id"] == again["id"] and other.status_code == 422
print("jobs:", len(jobs))

# %% [markdown]
# *One sentence to keep: without an answer send again, under the same key.*
#
# ## Two places, one promise
#
# The job belongs in the database, the picture in the topic, and no transaction spans both. Whatever comes first, a crash in between
# breaks the promise: accepted and never looked at, or looked at and never accepted.
#
# The **outbox** makes two places one: the job and a note *to be published* go into the same database. A **relay** reads the notes,
# publishes, and marks each when the brokers have acknowledged it.

# %%
# %%program accept.py
import os
import signal
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], isolation_level=None)
one_transaction = sys.argv[2] == "together"
database.execute("BEGIN" if one_transaction else "SELECT 1")
database.execute("INSERT INTO jobs VALUES ('photo 1')")
os.kill(os.getpid(), signal.SIGKILL)  # a crash, just here
database.execute("INSERT INTO outbox VALUES ('photo 1')")
database.execute("COMMIT" if one_transaction else "SELECT 1")

# %% [markdown]
# **Predict** for both ways: how many jobs, how many notes, after the crash?

# %%
seen = {}
for way in ("one by one", "together"):
    with TemporaryDirectory() as folder, sqlite3.connect(f"{folder}/scratch.sqlite") as scratch:
        for table in ("jobs", "outbox"):
            scratch.execute(f"CREATE TABLE {table} (id TEXT)")
        scratch.commit()
        programs.run("accept.py", f"{folder}/scratch.sqlite", way).wait(30)
        count = "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM outbox)"
        seen[way] = scratch.execute(count).fetchone()
    print(f"{way:<11} jobs, notes: {seen[way]}")
assert seen == {"one by one": (1, 0), "together": (0, 0)}

# %% [markdown]
# **Compare:** one by one leaves a job that nobody will ever publish. Together leaves nothing: the sender got no 202, and sends
# again. The third ending, after the `COMMIT`, is harmless too: the note waits until a relay runs.
#
# *One sentence to keep: job and outbox in one transaction; then the relay publishes perhaps twice, never not at all.*
#
# ## The same burst, without a queue and with it
#
# Without a queue the server looks at each picture while its sender waits: `--synchronous`. A camera sends 300 pictures of 640 px,
# 100 a second, whether or not the last was answered, and counts each wait from the moment when the picture was *due*. (There are 24 pictures, sent again and again under different keys.)
#
# **Predict:** how long do senders wait at the end of the burst, on each side?

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets.latency_picture import latencies

command = [sys.executable, "-m", "brokerlab.pipeline", "api", "--synchronous", "--port", "0"]
waits, alone = [], Background(command, name="synchronous")
for url in (json.loads(alone.wait_for("ready"))["url"], queue.url):
    burst = f"burst-{time.time_ns()}"
    with Camera(lambda: url, lambda n: large[n % 24], 300, 100, again=False, key=burst) as camera:  # noqa: B023
        waits.append(camera.wait(60))
    alone.kill()
p95 = [percentile([one.seconds for one in side], 95) for side in waits]
assert p95[0] > 3 * p95[1] and all(one.status == 202 for one in waits[1])
latencies({"synchronous": waits[0], "queued": waits[1]})

# %% [markdown]
# **Compare:** without a queue each picture waits for all before it. The line grows as long as the burst lasts, and everybody is
# slow: the article's "renders the whole unresponsive". With the queue a sender waits for one small transaction. The work is
# not done any faster! Its line is now in the topic, where it hurts nobody.
#
# *One sentence to keep: a queue does not make the recogniser faster; it keeps callers from waiting for it.*
#
# ## All of it, live
#
# The workers are still busy with the burst. The board sends 2,000 small pictures more, and one that we compose.

# %% tags=["nbval-ignore-output"]
from brokerlab.widgets import RequestBoard

board = RequestBoard(queue)
board.set(count=2000, rate=150, size="128 px")
board.burst()
board.place("cat", 70, 80)
board.place("umbrella", 220, 200)
board.send()
seen = board.results(60)
assert {one["label"] for one in seen.mine.found} == {"cat", "umbrella"}
board

# %% [markdown]
# Now you: choose an object, click the scene, *Send it*. What becomes of a cat of 200 px, or tilted by 90°? Send a photograph of your
# own, a text file, half a picture: who notices, the API server or a worker?
#
# **Predict:** were all answered? The **audit** compares the database with the topics, record by record, and believes
# nobody's counters.

# %%
audit = queue.settle(60)
with sqlite3.connect(queue.store.file) as database:
    rows, ids = database.execute("SELECT count(*), count(DISTINCT job_id) FROM results").fetchone()
assert audit.accepted > 2000 and audit.done == rows == ids
print("more than 2,000 accepted:", audit.accepted > 2000)
print("every one with one result:", audit.accepted == audit.done + audit.dead_lettered)
print("missing:", len(audit.missing), "- effects that came twice:", audit.duplicate_effects)
assert audit.sound and audit.settled

# %% [markdown]
# Whether the promise holds in a storm is lesson 14.
#
# ## Exercise 1: nobody waits
#
# Complete the server `door.py`, so that in a burst 95 of 100 senders wait for less than 100 ms. The check starts it with a
# database of its own and sends 200 pictures of 640 px, 100 a second. Only then it starts relay, collector and workers; every id
# that you gave out must get its result.

# %% tags=["starter"]
# %%program door.py
# import sys, threading
# from brokerlab.pipeline.detector import Detector
# from brokerlab.pipeline.server import serve
# from brokerlab.pipeline.store import Store
# from fastapi import FastAPI, Request
#
# app, store, detector = FastAPI(), Store(sys.argv[2]), Detector()
# @app.post("/images", status_code=202)
# async def take(request: Request):
#     picture = await request.body()
#     ...  # return {"id": ...}: what has to be done before, and what may be done later?
# server = serve(app, int(sys.argv[1])), threading.Event().wait()

# %% tags=["solution", "exercise-1"]
# %%program door.py
# import sys, threading
# from brokerlab.pipeline.server import serve
# from brokerlab.pipeline.store import Store
# from fastapi import FastAPI, Request
#
# app, store = FastAPI(), Store(sys.argv[2])
# @app.post("/images", status_code=202)
# async def take(request: Request):
#     picture = await request.body()
#     job = store.accept(picture, "image/jpeg", request.headers.get("Idempotency-Key"))
#     return {"id": job.id}
# server = serve(app, int(sys.argv[1])), threading.Event().wait()

# %% tags=["starter"]
q[1].check()

# %% [markdown]
# ## Exercise 2: one result for every id
#
# Write `courier.py`: it sends every file of a folder, `picture-00.jpg` and so on, and ends when all are taken. The line is bad: of four requests
# one does not arrive, and one arrives but its answer is lost. Once the check **kills** the courier (SIGKILL), and starts it again from the
# beginning. Each picture must have one job and one result.

# %% tags=["starter"]
# %%program courier.py
import sys
import time
from pathlib import Path

import httpx

url, folder = sys.argv[1:]
client = httpx.Client(base_url=url, headers={"Content-Type": "image/jpeg"}, timeout=10)
for file in sorted(Path(folder).iterdir()):
    picture = file.read_bytes()
    ...  # client.post("/images", content=picture), and again, until it is taken

# %% tags=["solution", "exercise-2"]
# %%program courier.py
# import sys, time, httpx
# from pathlib import Path
#
# client = httpx.Client(base_url=sys.argv[1], headers={"Content-Type": "image/jpeg"}, timeout=10)
# def taken(file):
#     key = {"Idempotency-Key": file.name}
#     try:
#         return client.post("/images", content=file.read_bytes(), headers=key).status_code == 202
#     except httpx.TransportError:
#         return False
# for file in sorted(Path(sys.argv[2]).iterdir()):
#     while not taken(file): time.sleep(0.05)

# %% tags=["starter"]
q[2].check()

# %% tags=["solution"]
q[1].assert_passed()
q[2].assert_passed()

# %% [markdown]
# ## In production
#
# - API server, relay and workers run on machines of their own, as `python -m brokerlab.pipeline api`, `relay`, `worker`, against any Kafka.
# - SQLite has one writer, so notes come in order. With PostgreSQL, relays use `FOR UPDATE SKIP LOCKED`, or Debezium reads the database's log.
# - These pictures are small enough for a record. Large ones go into an object store, and their address into the topic (*claim check*).
# - A queue shifts a burst; it does not cure a steady overload. When 5,000 wait, this API server answers 429 with `Retry-After` (lesson 15).
# - Measure waits from when a request was due. A client that waits for each answer sends less when the server is slow, and hides it.
#
# ## What you learned
#
# 1. 202 is a promise: the picture and the note to publish it are on disk, in one transaction.
# 2. The outbox joins database and topic: perhaps twice, never not at all.
# 3. An idempotency key belongs to the picture; sent again, it is the same job.
# 4. Synchronous, every caller waits for all before it; queued, for one transaction.
# 5. A black box has limits: know them, and tell them.
#
# ## Clean up
#
# After a kernel restart there may be no board: then leave out the first line.

# %%
board.close()
queue.end()
print("left over:", sorted(name for name in lab.topics() if not name.startswith("__")))

# %% [markdown]
# Next: lesson 14 kills every part of this, one after the other, and counts.
