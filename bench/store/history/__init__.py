"""What is kept of all runs, and the steps in it."""
