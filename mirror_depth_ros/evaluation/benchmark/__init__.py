"""What depth costs on this machine: everything that needs no ROS."""
