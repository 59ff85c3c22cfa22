"""What goes well or wrong in a run: eight cases in turn, so that every outcome occurs from eight requests on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """A case: its name, and the outcome that its pipeline must have in the end."""

    name: str
    outcome: str


SCENARIOS = (
    Scenario("success", "success"),
    Scenario("policy", "blocked"),
    Scenario("scan_failure", "failure"),
    Scenario("throttled", "skipped"),
    Scenario("loop", "blocked"),
    Scenario("approval_denied", "denied"),
    Scenario("budget", "blocked"),
    Scenario("retry", "success"),
)

OUTCOMES = {scenario.name: scenario.outcome for scenario in SCENARIOS}


def scenario_of(number: int) -> Scenario:
    """Return the case of the request with this number, counted from 0."""
    return SCENARIOS[number % len(SCENARIOS)]
