"""Security and safety: evaluations, guardrails, policies, scans."""

from tachograph.catalogue.bounds import DANGER, WORK_SECONDS
from tachograph.catalogue.labels import (
    GUARDRAIL,
    GUARDRAIL_VERDICT,
    SCAN_REASON,
    SCANNER,
    SEVERITY,
    VERDICT,
    VIOLATION_TYPE,
)
from tachograph.catalogue.model import Instrument

SECURITY_EVALUATIONS = Instrument(
    name="tachograph.security.evaluations",
    kind="counter",
    unit="{evaluation}",
    description="Security evaluations, by verdict.",
    labels=(VERDICT,),
)
GUARDRAIL_VERDICTS = Instrument(
    name="tachograph.guardrail.verdicts",
    kind="counter",
    unit="{verdict}",
    description="Verdicts of guardrails.",
    labels=(GUARDRAIL, GUARDRAIL_VERDICT),
)
POLICY_VIOLATIONS = Instrument(
    name="tachograph.policy.violations",
    kind="counter",
    unit="{violation}",
    description="Acts against a policy, by type.",
    labels=(VIOLATION_TYPE,),
)
DANGER_SCORE = Instrument(
    name="tachograph.danger.score",
    kind="histogram",
    unit="{score}",
    description="How dangerous an act was judged to be, from 0 to 100.",
    bounds=DANGER,
)
SCAN_FINDINGS = Instrument(
    name="tachograph.scan.findings",
    kind="counter",
    unit="{finding}",
    description="What scanners found, by severity.",
    labels=(SCANNER, SEVERITY),
)
SCAN_FAILURES = Instrument(
    name="tachograph.scan.failures",
    kind="counter",
    unit="{failure}",
    description="Scans that came to no result, by reason.",
    labels=(SCANNER, SCAN_REASON),
)
SCAN_DURATION = Instrument(
    name="tachograph.scan.duration",
    kind="histogram",
    unit="s",
    description="Time that a scan took.",
    labels=(SCANNER,),
    bounds=WORK_SECONDS,
)
SCAN_LAST_SUCCESS = Instrument(
    name="tachograph.scan.last_success",
    kind="gauge",
    unit="s",
    description="When a scan last came to a result, in seconds since 1970.",
    labels=(SCANNER,),
)

INSTRUMENTS = (
    SECURITY_EVALUATIONS,
    GUARDRAIL_VERDICTS,
    POLICY_VIOLATIONS,
    DANGER_SCORE,
    SCAN_FINDINGS,
    SCAN_FAILURES,
    SCAN_DURATION,
    SCAN_LAST_SUCCESS,
)
