"""``python -m brokerlab.pipeline``: each part of the ML queue as a program of its own, for any Kafka cluster."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from brokerlab.errors import BrokerLabError
from brokerlab.pipeline.clients import Cluster
from brokerlab.pipeline.errors import PipelineError, UnreachableError
from brokerlab.pipeline.messages import Names
from brokerlab.pipeline.program import say, stop_on_signals

DONE, FAILED, UNREACHABLE, UNSOUND = 0, 1, 3, 4
_CODES = """\
exit codes:
  0  done; or stopped by SIGTERM or SIGINT, after the work at hand
  1  it could not be done: the reason is on stderr, in one sentence
  2  the command is not understood
  3  no broker answered
  4  audit: a picture is missing, or took effect twice

api, relay, collector and worker say what happens in lines of JSON on stdout.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a part; return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except UnreachableError as trouble:
        print(trouble, file=sys.stderr)
        return UNREACHABLE
    except BrokerLabError as trouble:
        print(trouble, file=sys.stderr)
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m brokerlab.pipeline",
        description="The ML queue, part by part.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    sub = command("api", _api, "take pictures over HTTP")
    _database(sub, required=False)
    sub.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    sub.add_argument("--port", type=int, default=8000, help="0 takes any (default: %(default)s)")
    sub.add_argument(
        "--backlog-limit",
        type=_positive,
        metavar="N",
        help="pictures that may wait before the next is answered with 429",
    )
    sub.add_argument(
        "--synchronous",
        action="store_true",
        help="look at each picture while its sender waits, without queue and database",
    )
    sub = command("relay", _relay, "publish what the database holds for publishing")
    _database(sub)
    _kafka(sub)
    sub = command("collector", _collector, "store results and dead letters in the database")
    _database(sub)
    _kafka(sub)
    sub = command("worker", _worker, "look at pictures")
    _kafka(sub)
    sub.add_argument("--name", help="what to call it in results (default: worker-PID)")
    sub.add_argument("--model", type=Path, help="another ONNX file than the package's")
    sub.add_argument(
        "--attempts", type=_positive, help="how often to try a picture that fails (default: 3)"
    )
    sub.add_argument(
        "--retry-after", type=float, metavar="SECONDS", help="pause between attempts (default: 5)"
    )
    sub.add_argument(
        "--nice",
        type=_positive,
        metavar="N",
        help="let others have the processor first, 19 the most: for a machine that takes pictures too",
    )
    sub = command("audit", _audit, "say where every accepted picture is")
    _database(sub)
    _kafka(sub)
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = command("redrive", _redrive, "send pictures that were given up through the queue again")
    _database(sub)
    sub.add_argument("--code", help="only those given up for this reason, such as `failed`")
    sub.add_argument("ids", nargs="*", metavar="ID", help="only these; else all")
    sub = command("topics", _topics, "make the topics that are missing, and check them all")
    _kafka(sub)
    return parser


def _database(sub: argparse.ArgumentParser, required: bool = True) -> None:
    sub.add_argument(
        "--database", type=Path, required=required, metavar="FILE", help="made where there is none"
    )


def _kafka(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--bootstrap-servers",
        required=True,
        metavar="HOST:PORT,...",
        help="how to find the brokers",
    )
    sub.add_argument(
        "--client-properties",
        type=Path,
        metavar="FILE",
        help="more client settings, a name=value a line, as librdkafka names them (security.protocol, sasl.mechanism, ...)",
    )
    sub.add_argument(
        "--prefix", default="photo", help="what topics and groups begin with (default: %(default)s)"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _cluster(arguments: Any) -> tuple[Cluster, Names]:
    cluster = Cluster.of(arguments.bootstrap_servers, arguments.client_properties)
    return cluster, Names(arguments.prefix)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given; the others keep the default of what they are for."""
    return {name: value for name, value in options.items() if value is not None}


def _api(arguments: Any) -> int:
    from brokerlab.pipeline.api import create_app
    from brokerlab.pipeline.server import serve
    from brokerlab.pipeline.store import Store

    if arguments.synchronous:
        from brokerlab.pipeline.detector import Detector
        from brokerlab.pipeline.synchronous import create_synchronous_app

        app = create_synchronous_app(Detector())
    elif arguments.database is None:
        raise PipelineError("The API server needs --database FILE, or --synchronous.")
    else:
        app = create_app(Store(arguments.database), **_given(backlog_limit=arguments.backlog_limit))
    stop = stop_on_signals()
    with serve(app, arguments.port, arguments.host) as server:
        say("ready", part="api", url=server.url)
        stop.wait()
    say("stopped", part="api")
    return DONE


def _relay(arguments: Any) -> int:
    from brokerlab.pipeline.relay import Relay
    from brokerlab.pipeline.store import Store

    cluster, names = _cluster(arguments)
    with Store(arguments.database) as store:
        Relay(store, cluster, names, stop=stop_on_signals()).run()
    return DONE


def _collector(arguments: Any) -> int:
    from brokerlab.pipeline.collector import Collector
    from brokerlab.pipeline.store import Store

    cluster, names = _cluster(arguments)
    with Store(arguments.database) as store:
        Collector(store, cluster, names, stop=stop_on_signals()).run()
    return DONE


def _worker(arguments: Any) -> int:
    from brokerlab.pipeline.detector import Detector
    from brokerlab.pipeline.worker import Worker

    if arguments.nice:
        os.nice(arguments.nice)
    cluster, names = _cluster(arguments)
    options = _given(
        name=arguments.name, attempts=arguments.attempts, retry_after=arguments.retry_after
    )
    Worker(cluster, Detector(arguments.model), names, stop=stop_on_signals(), **options).run()
    return DONE


def _audit(arguments: Any) -> int:
    from brokerlab.pipeline.audit import audit
    from brokerlab.pipeline.store import Store

    cluster, names = _cluster(arguments)
    _must_exist(arguments.database)
    with Store(arguments.database) as store:
        found = audit(store, cluster, names)
    print(json.dumps(asdict(found)) if arguments.json else found)
    return DONE if found.sound else UNSOUND


def _redrive(arguments: Any) -> int:
    from brokerlab.pipeline.store import Store

    _must_exist(arguments.database)
    with Store(arguments.database) as store:
        sent = store.redrive(arguments.ids or None, arguments.code)
    asked = f" of {len(set(arguments.ids))}" if arguments.ids else ""
    print(f"Pictures that go through the queue again: {len(sent)}{asked}")
    return DONE


def _topics(arguments: Any) -> int:
    from brokerlab.pipeline.clients import check_settings, ensure_topics

    cluster, names = _cluster(arguments)
    odd = ensure_topics(cluster, names) + check_settings(cluster, names)
    print("\n".join(odd) or f"{', '.join(names.topics)} are as they should be.")
    return FAILED if odd else DONE


def _must_exist(file: Path) -> None:
    if not file.exists():
        raise PipelineError(f"There is no database {file}: give the one of the API server.")


if __name__ == "__main__":
    sys.exit(main())
