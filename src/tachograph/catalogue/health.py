"""The health of telemetry and of the audit journal itself."""

from tachograph.catalogue.labels import AUDIT_RESULT, EVENT, INSTRUMENT, LABEL, WHERE
from tachograph.catalogue.model import Instrument

FAULTS = Instrument(
    name="tachograph.telemetry.faults",
    kind="counter",
    unit="{fault}",
    description="Faults of telemetry that were contained, by where they happened.",
    labels=(WHERE,),
)
LABEL_OVERFLOW = Instrument(
    name="tachograph.telemetry.label_overflow",
    kind="counter",
    unit="{value}",
    description="Label values that became _OTHER because their label did not admit them.",
    labels=(INSTRUMENT, LABEL),
)
AUDIT_RECORDS = Instrument(
    name="tachograph.audit.records",
    kind="counter",
    unit="{record}",
    description="Audit records, by event and by what became of them.",
    labels=(EVENT, AUDIT_RESULT),
)
AUDIT_HEAD = Instrument(
    name="tachograph.audit.head",
    kind="gauge",
    unit="{record}",
    description="Sequence number of the journal's last record known to this process.",
)

INSTRUMENTS = (FAULTS, LABEL_OVERFLOW, AUDIT_RECORDS, AUDIT_HEAD)
