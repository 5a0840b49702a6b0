"""Procedural rooms and roads with exact depth: the world the built-in model learns from."""
