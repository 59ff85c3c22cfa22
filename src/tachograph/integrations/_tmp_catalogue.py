"""tmp"""
from tachograph.catalogue.model import Instrument, Label
from tachograph.catalogue.bounds import WORK_SECONDS
class labels:
    TASK = Label("tachograph.task", cap=100)
    TASK_STATUS = Label("tachograph.status", values=("started","success","failure","retry","revoked"))
    QUEUE = Label("tachograph.queue", cap=20)
class workers:
    WORKER_TASKS = Instrument(name="tachograph.worker.tasks", kind="counter", unit="{task}", description="x", labels=(labels.TASK, labels.TASK_STATUS))
    WORKER_TASK_DURATION = Instrument(name="tachograph.worker.task.duration", kind="histogram", unit="s", description="x", labels=(labels.TASK, labels.TASK_STATUS), bounds=WORK_SECONDS)
    WORKER_QUEUE_WAIT = Instrument(name="tachograph.worker.queue.wait", kind="histogram", unit="s", description="x", labels=(labels.QUEUE,), bounds=WORK_SECONDS)
    WORKER_PROCESSES = Instrument(name="tachograph.worker.processes", kind="gauge", unit="{process}", description="x")
    WORKER_ACTIVE = Instrument(name="tachograph.worker.active", kind="up_down_counter", unit="{task}", description="x")
    WORKER_QUEUE_DEPTH = Instrument(name="tachograph.worker.queue.depth", kind="gauge", unit="{task}", description="x", labels=(labels.QUEUE,))
