"""What makes rtmsync at home in web applications: `rtmsync.contrib.flask` and `rtmsync.contrib.django`.

Both are built on three modules: `settings` reads a configuration, `connections` holds what one process has open, and
`listening` runs the one process that listens.
"""
