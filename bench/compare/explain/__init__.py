"""Which variant of a metric gives a quoted figure."""
