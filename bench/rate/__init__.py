"""What the bytes buy: quality knobs turned, curves, BD-rates, pictures at equal bytes."""
