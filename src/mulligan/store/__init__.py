"""The database as verbs on rows: domain values in and out; all SQL lives here, no policy does."""
