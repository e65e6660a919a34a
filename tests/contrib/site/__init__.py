"""A small Django site, and the tests of `rtmsync.contrib.django` that run inside it."""
