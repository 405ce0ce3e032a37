"""The viewer: any two of reference, reconstructions and error maps."""
