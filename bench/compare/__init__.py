"""Questions to stored runs: better or worse, how surely, on which pictures."""
