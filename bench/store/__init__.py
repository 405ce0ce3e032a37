"""What is kept: the run folder, whole or not at all, and the history of all runs."""
