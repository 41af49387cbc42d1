"""The computing: CLIP towers, captioner, caption encoder, prompt learner, heads. Torch, and no rasters."""
