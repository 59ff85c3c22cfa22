"""Agents, and how many there are."""

from tachograph.catalogue.bounds import RUN_SECONDS, TURNS
from tachograph.catalogue.labels import AGENT, AGENT_STATUS, FINISH_REASON, OUTCOME, POPULATION_STATUS, TRUST_LEVEL
from tachograph.catalogue.model import Instrument

AGENT_INVOCATIONS = Instrument(
    name="tachograph.agent.invocations",
    kind="counter",
    unit="{invocation}",
    description="Agent invocations, by how they ended.",
    labels=(AGENT, OUTCOME),
)
AGENT_DURATION = Instrument(
    name="tachograph.agent.duration",
    kind="histogram",
    unit="s",
    description="Time from the start of an agent invocation to its end.",
    labels=(AGENT, OUTCOME),
    bounds=RUN_SECONDS,
)
AGENT_ACTIVE = Instrument(
    name="tachograph.agent.active",
    kind="up_down_counter",
    unit="{invocation}",
    description="Agent invocations in progress.",
    labels=(AGENT,),
)
AGENT_TURNS = Instrument(
    name="tachograph.agent.turns",
    kind="counter",
    unit="{turn}",
    description="Language model calls completed inside an agent.",
    labels=(AGENT,),
)
AGENT_TURNS_PER_INVOCATION = Instrument(
    name="tachograph.agent.turns_per_invocation",
    kind="histogram",
    unit="{turn}",
    description="Language model calls that an agent invocation took.",
    labels=(AGENT,),
    bounds=TURNS,
)
AGENT_GUARDRAIL_RETRIES = Instrument(
    name="tachograph.agent.guardrail_retries",
    kind="counter",
    unit="{retry}",
    description="Attempts that an agent repeated because a guardrail refused the one before.",
    labels=(AGENT,),
)
AGENT_HANDOFFS = Instrument(
    name="tachograph.agent.handoffs",
    kind="counter",
    unit="{handoff}",
    description="Work that an agent handed to another, by the agent that handed it over.",
    labels=(AGENT,),
)
AGENT_FINISH = Instrument(
    name="tachograph.agent.finish",
    kind="counter",
    unit="{invocation}",
    description="Agent invocations, by the reason why they ended.",
    labels=(AGENT, FINISH_REASON),
)
AGENT_POPULATION = Instrument(
    name="tachograph.agent.population",
    kind="gauge",
    unit="{agent}",
    description="Agents that there are, by status and trust level, as the application last said.",
    labels=(AGENT_STATUS, TRUST_LEVEL),
)
TASK_POPULATION = Instrument(
    name="tachograph.task.population",
    kind="gauge",
    unit="{task}",
    description="Tasks that there are, by status and agent, as the application last said.",
    labels=(POPULATION_STATUS, AGENT),
)
COORDINATION_EFFICIENCY = Instrument(
    name="tachograph.coordination.efficiency",
    kind="gauge",
    unit="1",
    description="Share of the agents' work that was not coordination, as the application last said.",
)
COORDINATION_OVERHEAD = Instrument(
    name="tachograph.coordination.overhead",
    kind="gauge",
    unit="1",
    description="Share of the agents' work that was coordination, as the application last said.",
)

INSTRUMENTS = (
    AGENT_INVOCATIONS,
    AGENT_DURATION,
    AGENT_ACTIVE,
    AGENT_TURNS,
    AGENT_TURNS_PER_INVOCATION,
    AGENT_GUARDRAIL_RETRIES,
    AGENT_HANDOFFS,
    AGENT_FINISH,
    AGENT_POPULATION,
    TASK_POPULATION,
    COORDINATION_EFFICIENCY,
    COORDINATION_OVERHEAD,
)
