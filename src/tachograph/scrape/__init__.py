"""The Prometheus side: a metric reader, the two text formats, the endpoint and the textfile."""
