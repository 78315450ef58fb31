"""The verbs on rows, a file for each kind of row: domain values in and out, no policy, no retries."""
