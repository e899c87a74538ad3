"""The processes of a load bench: ``python -m brokerlab.benchparts PART ARGUMENT ...``.

Each prints what it does, as it does it, with the monotonic clock, which all processes of a machine share.
`brokerlab.loadbench` starts them and reads along.
"""

from __future__ import annotations

import os
import queue
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from brokerlab.access import read_client
from brokerlab.frontdesk import HOST, LISTENING, ask, serve
from brokerlab.work import recognise

PIECES = 10
BYTES_OF_A_PIECE = 4096
FLUSH_LIMIT = 10.0


def _say(*words: object) -> None:
    """Print a line in one piece, whichever thread says it."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


def _fetch(photo: str, camera: int) -> None:
    """Fetch a photo from the camera; port 0 means that it is there already."""
    if camera:
        with socket.create_connection((HOST, camera)) as line:
            line.sendall(f"{photo}\n".encode())
            while line.recv(BYTES_OF_A_PIECE):
                pass


def _serve_photo(photo: str, rounds: int, camera: int) -> None:
    _fetch(photo, camera)
    recognise(photo, rounds)


def callers(port: str, rate: str, seconds: str, patience: str) -> None:
    """Call the desk `rate` times a second, evenly, each caller in a thread."""

    def call(photo: str) -> None:
        answer = ask(int(port), photo, float(patience))
        _say("answer", photo, answer.seconds, answer.status.replace(" ", "-"))

    calls = []
    begun = time.monotonic()
    for number in range(round(float(rate) * float(seconds))):
        time.sleep(max(0.0, begun + number / float(rate) - time.monotonic()))
        _say("asked", number, time.monotonic())
        calls.append(threading.Thread(target=call, args=(str(number),)))
        calls[-1].start()
    for one in calls:
        one.join()


def service(waits: str, port: str, workers: str, rounds: str, camera: str) -> None:
    """Take photos by HTTP and work them off in threads; answer at once, or (`waits`) when the photo is done.

    The work lets other threads run, so each worker has a core if there is one.
    """
    todo: queue.SimpleQueue[tuple[str, threading.Event]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            photo, done = todo.get()
            begun = time.monotonic()
            _serve_photo(photo, int(rounds), int(camera))
            now = time.monotonic()
            _say("done", photo, now)
            _say("served", now - begun)
            done.set()

    def accept(photo: str) -> None:
        done = threading.Event()
        _say("in", photo, time.monotonic())
        todo.put((photo, done))
        if waits == "waits":
            done.wait()

    for _ in range(int(workers)):
        threading.Thread(target=work, daemon=True).start()
    serve(accept, int(port), at_once=True)


def desk(client_file: str, topic: str, partitions: str) -> None:
    """Take photos by HTTP and answer when Kafka has them, on all replicas that are in sync."""
    from confluent_kafka import Producer

    producer = Producer({**read_client(client_file), "acks": "all", "log_level": 0})

    def accept(photo: str) -> None:
        said: list[object] = []
        producer.produce(
            topic,
            photo,
            partition=int(photo) % int(partitions),
            on_delivery=lambda error, _: said.append(error),
        )
        producer.flush(FLUSH_LIMIT)
        if said != [None]:
            raise TimeoutError(f"Kafka has not taken photo {photo}: {said}")
        _say("in", photo, time.monotonic())

    serve(accept, at_once=True)


def worker(client_file: str, topic: str, group: str, name: str, rounds: str, camera: str) -> None:
    """Fetch photos from a topic; commit each when it is done."""
    from confluent_kafka import Consumer, KafkaException

    consumer = Consumer(
        {
            **read_client(client_file),
            "group.id": group,
            "client.id": name,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 3000,
            "heartbeat.interval.ms": 500,
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    while True:
        message = consumer.poll(1)
        if message is None or message.error():
            continue
        begun = time.monotonic()
        photo = (message.value() or b"").decode()
        _serve_photo(photo, int(rounds), int(camera))
        _say("done", photo, time.monotonic(), message.partition(), message.offset())
        # Refused after its partition went to another worker, who does this photo once more.
        with suppress(KafkaException):
            consumer.commit(message=message, asynchronous=False)
        _say("served", time.monotonic() - begun)


def camera(seconds: str) -> None:
    """Send photos over a slow line, which takes `seconds` for one; any number at the same time."""

    class Line(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            begun = time.monotonic()
            for piece in range(1, PIECES + 1):
                due = begun + float(seconds) * piece / PIECES
                time.sleep(max(0.0, due - time.monotonic()))
                self.wfile.write(bytes(BYTES_OF_A_PIECE))

    class Camera(socketserver.ThreadingTCPServer):
        request_queue_size = 128
        daemon_threads = True

    with Camera((HOST, 0), Line) as server:
        _say(LISTENING, server.server_address[1])
        server.serve_forever()


PARTS: dict[str, Callable[..., None]] = {
    "callers": callers,
    "service": service,
    "desk": desk,
    "worker": worker,
    "camera": camera,
}


if __name__ == "__main__":
    PARTS[sys.argv[1]](*sys.argv[2:])
