"""Decisions about work items as pure functions over values; no clock, randomness, database or log lives here."""
