"""Pipelines and their stages."""

from tachograph.catalogue.bounds import WORK_SECONDS
from tachograph.catalogue.labels import CHANGE_LABEL, LOOP_REASON, OUTCOME, RETRY_REASON, STAGE, THROTTLE_SCOPE
from tachograph.catalogue.model import Instrument

PIPELINE_RUNS = Instrument(
    name="tachograph.pipeline.runs",
    kind="counter",
    unit="{run}",
    description="Runs of pipelines, by how they ended.",
    labels=(OUTCOME,),
)
STAGE_DURATION = Instrument(
    name="tachograph.pipeline.stage.duration",
    kind="histogram",
    unit="s",
    description="Time that a stage of a pipeline took.",
    labels=(STAGE, OUTCOME),
    bounds=WORK_SECONDS,
)
PIPELINE_RETRIES = Instrument(
    name="tachograph.pipeline.retries",
    kind="counter",
    unit="{retry}",
    description="Repeated runs, by the reason for repeating.",
    labels=(RETRY_REASON,),
)
PIPELINE_LOOPS_BLOCKED = Instrument(
    name="tachograph.pipeline.loops_blocked",
    kind="counter",
    unit="{block}",
    description="Runs that were not repeated, so that they do not go on for ever.",
    labels=(LOOP_REASON,),
)
PIPELINE_THROTTLED = Instrument(
    name="tachograph.pipeline.throttled",
    kind="counter",
    unit="{event}",
    description="Runs that were put off by a rate limit, by what it is on.",
    labels=(THROTTLE_SCOPE,),
)
PIPELINE_CHANGES = Instrument(
    name="tachograph.pipeline.changes",
    kind="counter",
    unit="{change}",
    description="Changes proposed (pull requests), by the label they were given.",
    labels=(CHANGE_LABEL,),
)

INSTRUMENTS = (
    PIPELINE_RUNS,
    STAGE_DURATION,
    PIPELINE_RETRIES,
    PIPELINE_LOOPS_BLOCKED,
    PIPELINE_THROTTLED,
    PIPELINE_CHANGES,
)
