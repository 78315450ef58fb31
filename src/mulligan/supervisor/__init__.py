"""What happens because time passed: chores, each of them a name, an interval and `run_once`."""
