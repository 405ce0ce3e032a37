"""The second line: a region of work warmed up, sampled and judged."""
