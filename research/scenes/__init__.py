"""Training pictures with exact depth, rendered from models of real things."""
