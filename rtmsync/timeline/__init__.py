"""What happened to a connection, as a table and as a picture: states, reasons and durations.

It is pure: events and times go in, values and text come out. `Client.timeline` has one that is filled.
"""
