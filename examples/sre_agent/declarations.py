"""What this application adds to the catalogue: its ids, its stages and the words of its policies, for all processes."""

import hashlib

from tachograph import catalogue, correlation

correlation.declare("delivery_id", "run_key", "failure_id")
catalogue.declare(
    "tachograph.stage",
    "ingest_webhook",
    "store_event",
    "enqueue_pipeline",
    "generate_plan",
    "policy_check_plan",
    "generate_patch",
    "policy_check_patch",
    "run_scans",
    "sandbox_validate",
    "create_pr",
    "persist_artifact",
)
catalogue.declare("tachograph.type", "protected_path")


def failure_id(repository: str, job: str) -> str:
    """Return the id of a failing job, which is the same each time it fails."""
    return hashlib.sha256(f"{repository}/{job}".encode()).hexdigest()[:16]


def run_key(failure: str, delivery: str) -> str:
    """Return the key of the run that a delivery starts, which a second delivery does not change."""
    return hashlib.sha256(f"{failure}/{delivery}".encode()).hexdigest()[:24]
