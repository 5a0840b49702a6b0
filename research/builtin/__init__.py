"""The recipe of the built-in model, from ImageNet weights to ``resource/models``."""
