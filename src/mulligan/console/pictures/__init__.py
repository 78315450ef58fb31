"""What the pages draw: pure functions from what the API answers to shapes, each with a table of the same facts."""
