"""What tests of Mulligan, and of pipelines that run on it, are made with: a clock to turn, rows in any state, a harness."""
