"""The inner loops, one file for each format that has a fast multiply."""
