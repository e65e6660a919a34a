"""Engines that a server can run on, besides the memory engine of the core."""
