"""Which pictures a report shows, and in which form."""
