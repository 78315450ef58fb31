"""Traces: jobs, work items and attempts as spans of OpenTelemetry, told by whoever ends them."""
