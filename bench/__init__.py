"""Measures Mulligan beside a peer; not part of the package. `python -m bench` runs it, `bench.profile` says where time goes."""
