"""The pure core of the messaging system: bytes, intents and time in; bytes, events and deadlines out.

Nothing in this package opens a socket, starts a thread, reads a clock or draws a random number. A driver
such as ``rtmsync`` does that, which is why the same state machines serve blocking clients, the server, the
tests and the simulator.
"""

__version__ = "0.1.0"
