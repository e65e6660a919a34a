"""`python -m rtmsync` is the `rtm` command."""

from rtmsync.cli import main

if __name__ == "__main__":
    main()
