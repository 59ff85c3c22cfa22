"""Budgets for language model calls."""

from tachograph.catalogue.labels import BUDGET
from tachograph.catalogue.model import Instrument

BUDGET_LIMIT = Instrument(
    name="tachograph.budget.limit",
    kind="gauge",
    unit="{USD}",
    description="What may be spent.",
    labels=(BUDGET,),
)
BUDGET_SPENT = Instrument(
    name="tachograph.budget.spent",
    kind="gauge",
    unit="{USD}",
    description="What has been spent.",
    labels=(BUDGET,),
)
BUDGET_UTILIZATION = Instrument(
    name="tachograph.budget.utilization",
    kind="gauge",
    unit="1",
    description="What has been spent as a share of what may be.",
    labels=(BUDGET,),
)
BUDGET_EXHAUSTED = Instrument(
    name="tachograph.budget.exhausted",
    kind="counter",
    unit="{event}",
    description="Times that a budget came to its limit.",
    labels=(BUDGET,),
)

INSTRUMENTS = (
    BUDGET_LIMIT,
    BUDGET_SPENT,
    BUDGET_UTILIZATION,
    BUDGET_EXHAUSTED,
)
