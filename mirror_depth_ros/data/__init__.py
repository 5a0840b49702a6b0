"""Data sets: one sample type for all of them."""
