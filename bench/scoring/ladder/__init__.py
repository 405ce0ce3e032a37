"""What each step of a protocol costs, one step at a time."""
