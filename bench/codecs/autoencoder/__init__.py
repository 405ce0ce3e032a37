"""A diffusers checkpoint: found, its class told, loaded strictly, called.

Two words hold everywhere. *Raw* latents are what the encoder gives and the decoder takes. *Scaled*
latents are what a diffusion model sees: by what the checkpoint declares, (z - shift)·s, a shift and
a scaling factor; (z - mean)·s/std, statistics of each channel; or, for FLUX.2, 2×2 patches of raw
latents folded into channels and normalised by batch-norm statistics.
"""
