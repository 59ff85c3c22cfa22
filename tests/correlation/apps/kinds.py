"""Every way of the standard library to do something elsewhere; each tells the trace and the ids that it finds."""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

from opentelemetry import trace

import tachograph

CODE = "import kinds, json; print(json.dumps(kinds.told()))"
LABELS = ("told", "told")


def told(*_args: object) -> list[object]:
    return [f"{trace.get_current_span().get_span_context().trace_id:032x}", dict(tachograph.correlation.ids())]


class Subclass(multiprocessing.Process):
    """Overrides `run`, as many do."""

    def __init__(self, answers: object) -> None:
        super().__init__()
        self.answers = answers

    def run(self) -> None:
        self.answers.put(told())


class ThreadSubclass(threading.Thread):
    def run(self) -> None:
        self.answer = told()


def in_process(method: str) -> object:
    context = multiprocessing.get_context(method)
    answers = context.SimpleQueue()
    process = context.Process(target=_put, args=(answers,))
    process.start()
    found = answers.get()
    process.join()
    return found


def in_subclass(method: str) -> object:
    multiprocessing.set_start_method(method, force=True)
    answers = multiprocessing.SimpleQueue()
    process = Subclass(answers)
    process.start()
    found = answers.get()
    process.join()
    return found


def _put(answers: object) -> None:
    answers.put(told())


def in_pool(pool: object) -> dict[str, object]:
    return {
        "apply": pool.apply(told),
        "apply_async": pool.apply_async(told).get(),
        "map": pool.map(told, [1])[0],
        "map_async": pool.map_async(told, [1]).get()[0],
        "starmap": pool.starmap(told, [(1,)])[0],
        "starmap_async": pool.starmap_async(told, [(1,)]).get()[0],
        "imap": next(iter(pool.imap(told, [1]))),
        "imap_unordered": next(iter(pool.imap_unordered(told, [1]))),
    }


def in_thread(thread: threading.Thread) -> object:
    thread.start()
    thread.join()
    return thread.answer


def in_plain_thread() -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(told()))
    thread.start()
    thread.join()
    return found[0]


def program(**options: object) -> object:
    return json.loads(
        subprocess.run([sys.executable, "-c", CODE], check=True, stdout=subprocess.PIPE, **options).stdout
    )


async def in_asyncio() -> object:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CODE, stdout=asyncio.subprocess.PIPE)
    return json.loads((await process.communicate())[0])


def main() -> None:
    pools: dict[str, Callable[[], object]] = {}
    before: dict[str, object] = {  # made before there is anything to carry
        "pool fork": multiprocessing.get_context("fork").Pool(1),
        "pool spawn": multiprocessing.get_context("spawn").Pool(1),
        "thread pool": ThreadPool(1),
    }
    executors = {
        "executor fork": ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")),
        "executor spawn": ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")),
        "executor threads": ThreadPoolExecutor(1),
    }
    found: dict[str, object] = {}
    for number in range(2):
        with (
            tachograph.bind(request_id=f"r-{number}", delivery_id="d"),
            tachograph.plan("kinds", plan_id=f"p-{number}"),
        ):
            found = {"here": told()}
            for method in ("fork", "spawn", "forkserver"):
                found[f"process {method}"] = in_process(method)
                found[f"subclass {method}"] = in_subclass(method)
            for name, pool in before.items():
                found |= {f"{name} {way}": answer for way, answer in in_pool(pool).items()}
            for name, executor in executors.items():
                found[f"{name} submit"] = executor.submit(told).result()
                found[f"{name} map"] = next(iter(executor.map(told, [1])))
            found["thread"] = in_plain_thread()
            found["thread subclass"] = in_thread(ThreadSubclass())
            found["program"] = program()
            found["program env"] = program(env={**os.environ, "MORE": "1"})
            found["asyncio program"] = asyncio.run(in_asyncio())
            print(json.dumps(found))
    for pool in before.values():
        pool.close()
        pool.join()
    for executor in executors.values():
        executor.shutdown()
    print(json.dumps({"after": told(), "pools": pools}))


if __name__ == "__main__":
    import kinds

    kinds.main()
