"""The wire: packets, their codec, the handshake, WebSocket framing, and the transport made of them."""
