"""Engines that keep what users share beyond the life of the process."""
