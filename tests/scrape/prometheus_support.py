"""A provider with our reader, and documents read back by prometheus_client's parsers."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tachograph.scrape.reader import PrometheusReader

RESOURCE = Resource({"service.name": "tests"})


class Bench:
    """A meter provider with one reader of ours."""

    def __init__(self, reader=None, views=(), **provider):
        self.reader = reader or PrometheusReader(scope_labels=False)
        self.provider = MeterProvider(
            metric_readers=[self.reader], resource=RESOURCE, shutdown_on_exit=False, views=views, **provider
        )
        self.meter = self.provider.get_meter("tests")

    def families(self, openmetrics=False):
        return read(self.reader.text(openmetrics), openmetrics=openmetrics)

    def samples(self, name, openmetrics=False):
        """Labels and value of each sample called `name`."""
        every = (sample for family in self.families(openmetrics).values() for sample in family.samples)
        return [(sample.labels, sample.value) for sample in every if sample.name == name]


def read(text, *, openmetrics=False):
    """Families by name; a document in which one is there twice is no document."""
    families = list((parse_openmetrics if openmetrics else parse_text)(text))
    by_name = {family.name: family for family in families}
    assert len(by_name) == len(families)
    return by_name


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]
