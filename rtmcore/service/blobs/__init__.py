"""Files and images over HTTP: the values between a node and its store, the routes, tickets, and the transfers.

A blob is the stored bytes of one file or image. A node never touches them: it hands commands to a store and gets
answers later, as with the engine. `docs/protocol/media.md` specifies what clients see.
"""
