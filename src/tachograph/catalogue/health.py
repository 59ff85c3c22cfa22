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
SERIES = Instrument(
    name="tachograph.telemetry.series",
    kind="gauge",
    unit="{series}",
    description="Label sets that a declared instrument has had in this process, for the 20 with the most.",
    labels=(INSTRUMENT,),
)
SERIES_LIMIT = Instrument(
    name="tachograph.telemetry.series_limit",
    kind="gauge",
    unit="{series}",
    description="Label sets that a metric of this process may have.",
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

INSTRUMENTS = (
    FAULTS,
    LABEL_OVERFLOW,
    SERIES,
    SERIES_LIMIT,
    AUDIT_RECORDS,
    AUDIT_HEAD,
)
