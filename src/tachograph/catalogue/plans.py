"""Plans and context assembly."""

from tachograph.catalogue.bounds import ASSEMBLY_SECONDS, RUN_SECONDS, SIZES, UTILIZATION
from tachograph.catalogue.labels import OUTCOME
from tachograph.catalogue.model import Instrument

PLAN_EXECUTIONS = Instrument(
    name="tachograph.plan.executions",
    kind="counter",
    unit="{execution}",
    description="Plan executions, by how they ended.",
    labels=(OUTCOME,),
)
PLAN_DURATION = Instrument(
    name="tachograph.plan.duration",
    kind="histogram",
    unit="s",
    description="Time from the start of a plan to its end.",
    labels=(OUTCOME,),
    bounds=RUN_SECONDS,
)
PLAN_ACTIVE = Instrument(
    name="tachograph.plan.active",
    kind="up_down_counter",
    unit="{plan}",
    description="Plans being executed.",
)
CONTEXT_ASSEMBLIES = Instrument(
    name="tachograph.context.assemblies",
    kind="counter",
    unit="{assembly}",
    description="Context assemblies, by how they ended.",
    labels=(OUTCOME,),
)
CONTEXT_DURATION = Instrument(
    name="tachograph.context.duration",
    kind="histogram",
    unit="s",
    description="Time that assembling a context took.",
    bounds=ASSEMBLY_SECONDS,
)
CONTEXT_FRAGMENTS = Instrument(
    name="tachograph.context.fragments",
    kind="histogram",
    unit="{fragment}",
    description="Fragments put into an assembled context.",
    bounds=SIZES,
)
CONTEXT_TOKENS = Instrument(
    name="tachograph.context.tokens",
    kind="histogram",
    unit="{token}",
    description="Tokens of an assembled context.",
    bounds=SIZES,
)
CONTEXT_UTILIZATION = Instrument(
    name="tachograph.context.budget_utilization",
    kind="histogram",
    unit="1",
    description="Tokens of an assembled context as a share of its budget.",
    bounds=UTILIZATION,
)

INSTRUMENTS = (
    PLAN_EXECUTIONS,
    PLAN_DURATION,
    PLAN_ACTIVE,
    CONTEXT_ASSEMBLIES,
    CONTEXT_DURATION,
    CONTEXT_FRAGMENTS,
    CONTEXT_TOKENS,
    CONTEXT_UTILIZATION,
)
