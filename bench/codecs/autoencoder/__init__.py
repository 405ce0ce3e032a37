"""A diffusers checkpoint: found, its class told, loaded strictly, called."""
