"""Mulligan runs the jobs of data and ML pipelines and takes care of what goes wrong. The public names, nothing else."""
