"""Processes of ``mirror_depth benchmark`` that need ROS: started by it, with no other use."""
