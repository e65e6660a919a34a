"""What turns the crank of a client core: sockets, threads, the clock, and the lock between them."""
