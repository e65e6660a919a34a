"""Every limit at its boundary, on the client and on the server."""
