"""The shell round the core: load, decide, apply; and what people can ask for."""
