"""Runs the bodies of workflows in threads of the worker."""
