"""Models in torch: CLIP, captioners, caption encoder, heads. No rasters."""
