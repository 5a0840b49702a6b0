"""What computes the network: PyTorch itself, or a library that a copy of it is compiled for."""
