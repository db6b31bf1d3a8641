"""ROS 2 nodes of SentryFuse: thin, they convert, call the core and publish."""
