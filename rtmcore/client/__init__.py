"""The client's side as a pure state machine: the session, messages, channels, and what keeps them going."""
