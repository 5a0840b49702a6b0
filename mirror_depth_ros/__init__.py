"""Metric depth and point clouds from any calibrated RGB camera, with a frozen CLIP."""

from importlib.metadata import version

__version__ = version('mirror_depth_ros')  # package.xml's
