"""The second hop: Flask, which hands the work to a program, a process, a pool or a thread."""

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from flask import Flask, Response, jsonify
from opentelemetry import trace

import tachograph

app = Flask("back")
log = logging.getLogger("app.back")
PROGRAM = [sys.executable, os.path.join(os.path.dirname(__file__), "last.py")]


class Worker(threading.Thread):
    def run(self) -> None:
        subprocess.run(PROGRAM, check=True)


def program() -> None:
    subprocess.run(PROGRAM, check=True)


def in_pool() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(program).result()


def in_process(method: str) -> None:
    import last

    process = multiprocessing.get_context(method).Process(target=last.main)
    process.start()
    process.join()
    assert process.exitcode == 0


def in_executor(method: str) -> None:
    import last

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        pool.submit(last.main).result()


def in_thread() -> None:
    worker = Worker()
    worker.start()
    worker.join()


WAYS = {
    "task": program,
    "thread": in_thread,
    "pool": in_pool,
    "environment": lambda: subprocess.run(PROGRAM, check=True, env=os.environ.copy()),
    "spawn": lambda: in_process("spawn"),
    "executor": lambda: in_executor("spawn"),
}


@app.get("/hop/<way>")
def work(way: str):
    log.info("back %s", way)
    WAYS[way]()
    return jsonify(ids=dict(tachograph.correlation.ids()))


@app.get("/stream")
def stream() -> Response:
    def chunks():
        log.info("back streams")
        yield tachograph.correlation.ids().get("request_id", "lost")

    return Response(chunks())


@app.get("/fail")
def fail() -> None:
    raise RuntimeError("as asked")


@app.get("/own")
def own() -> Response:
    return Response("own", headers={"X-Request-ID": "of-the-app"})


@app.get("/seen")
def seen():
    trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
    return jsonify(ids=dict(tachograph.correlation.ids()), trace_id=trace_id)


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["BACK_PORT"]))
