"""What networks share: weights from files, devices, the same digits whatever the threads."""
