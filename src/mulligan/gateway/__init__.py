"""What a client stands on: a store in this process, or a server; one Protocol, and an implementation of each."""
