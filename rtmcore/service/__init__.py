"""The RTM system as pure machines: the engine that holds what users share, and the node that serves them."""
