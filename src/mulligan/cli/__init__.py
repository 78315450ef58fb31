"""The command line: one face of the client, for people and for scripts."""
