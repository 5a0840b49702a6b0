#!/usr/bin/env bash
# Runs a command with ROS 2, the workspace and its virtual environment.
set -e
source /ws/install/setup.bash
source /ws/.venv/bin/activate
# As the launch files set it for what they start: large images and clouds need it.
profile=/ws/install/mirror_depth_ros/share/mirror_depth_ros/config/fastdds.xml
case $ROS_DISTRO in
    humble | iron | jazzy) export "FASTRTPS_DEFAULT_PROFILES_FILE=${FASTRTPS_DEFAULT_PROFILES_FILE:-$profile}" ;;
    *) export "FASTDDS_DEFAULT_PROFILES_FILE=${FASTDDS_DEFAULT_PROFILES_FILE:-$profile}" ;;
esac
exec "$@"
