"""The server: sockets, HTTP, tokens and storage around the node of `rtmcore`."""
