"""What users hold: `connect`, Client, Job and WorkItem."""

from mulligan.client.client import Client, connect, default_client
from mulligan.client.items import WorkItem
from mulligan.client.job import Job
from mulligan.gateway.interface import Attempt

__all__ = ["Attempt", "Client", "Job", "WorkItem", "connect", "default_client"]
