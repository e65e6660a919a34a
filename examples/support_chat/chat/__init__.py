"""The chat: customers write, agents answer."""
