"""Training: what turns data into the weights that the node loads."""
