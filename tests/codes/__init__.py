"""Every documented code, produced through the public API against a real server."""
