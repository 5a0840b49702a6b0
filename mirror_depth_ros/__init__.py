"""Metric depth and point clouds from any calibrated RGB camera, with a frozen CLIP."""

__version__ = '0.1.0'
