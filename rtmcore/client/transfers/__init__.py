"""Uploads and downloads, each a state machine of its own over HTTP connections of its own.

`Upload` and `Download` are sans-IO like the client core, and share its rules: inputs come with the time, and after
each one the owner looks at `next_event`, `data_to_send` and `next_deadline`. Neither knows the client: whoever drives
it brings tickets (`NeedTicket`) and reports the end of the session. `Transfers` is the client's side of it: who may
begin, tickets, and the part that their connections have in the aggregate state.
"""
