"""Connection states as tables, the figures that go with them, and the waits between attempts."""
