"""Ways to run attempts, one file for each behind the seam of `interface`."""
