"""Latents as bytes: quantised, modelled, range-coded, and decoded from those bytes alone."""
