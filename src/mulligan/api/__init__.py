"""The REST API: requests in, engine and reading below, JSON out. No decision about work is made here."""
