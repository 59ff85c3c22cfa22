"""Generative-AI telemetry: one neutral record of a call, whoever observed it, and what follows from it."""
