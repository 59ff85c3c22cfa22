"""Where telemetry leaves the process: files in local mode, OTLP in server mode."""
