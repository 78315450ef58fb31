"""What runs users' code: executors below, the worker's loop above them."""
