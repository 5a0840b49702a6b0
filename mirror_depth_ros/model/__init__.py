"""The network: frozen CLIP, mirror, decoder."""
