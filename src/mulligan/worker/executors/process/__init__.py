"""Attempts in child processes of our own: a forkserver, warm children, one wire to each, and how they are killed."""
