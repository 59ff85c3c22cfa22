"""Task queue workers."""

from tachograph.catalogue.bounds import WORK_SECONDS
from tachograph.catalogue.labels import QUEUE, TASK, TASK_STATUS
from tachograph.catalogue.model import Instrument

WORKER_TASKS = Instrument(
    name="tachograph.worker.tasks",
    kind="counter",
    unit="{task}",
    description="Tasks of a worker, by what became of them; a task is counted as started and again at its end.",
    labels=(TASK, TASK_STATUS),
)
WORKER_TASK_DURATION = Instrument(
    name="tachograph.worker.task.duration",
    kind="histogram",
    unit="s",
    description="Time from the start of a task to its end.",
    labels=(TASK, TASK_STATUS),
    bounds=WORK_SECONDS,
)
WORKER_QUEUE_WAIT = Instrument(
    name="tachograph.worker.queue.wait",
    kind="histogram",
    unit="s",
    description="Time from sending a task to its start.",
    labels=(QUEUE,),
    bounds=WORK_SECONDS,
)
WORKER_PROCESSES = Instrument(
    name="tachograph.worker.processes",
    kind="gauge",
    unit="{process}",
    description="Live processes of the worker.",
)
WORKER_ACTIVE = Instrument(
    name="tachograph.worker.active",
    kind="up_down_counter",
    unit="{task}",
    description="Tasks being worked on.",
)
WORKER_QUEUE_DEPTH = Instrument(
    name="tachograph.worker.queue.depth",
    kind="gauge",
    unit="{task}",
    description="Tasks that wait in a queue of the broker; absent while the broker cannot be asked.",
    labels=(QUEUE,),
)

INSTRUMENTS = (
    WORKER_TASKS,
    WORKER_TASK_DURATION,
    WORKER_QUEUE_WAIT,
    WORKER_PROCESSES,
    WORKER_ACTIVE,
    WORKER_QUEUE_DEPTH,
)
