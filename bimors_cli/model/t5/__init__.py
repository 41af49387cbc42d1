"""Captions of BLIP-2 with a T5 language model by a beam search of our own: those of transformers' generate, sooner."""
