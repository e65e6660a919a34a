"""Print the floor of every run-time dependency as a constraint for pip.

`make test-floors` installs with these constraints, so that each ``>=`` in
setup.cfg is a version that the tests have passed on. The tools of the test,
peers, docs and bench extras are left at their newest.
"""

import configparser
import re
import sys
from pathlib import Path

TOOL_EXTRAS = frozenset({"test", "peers", "docs", "bench"})
_FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*>=\s*(?P<version>[0-9][0-9.]*)")


def floors(setup_cfg: str) -> list[str]:
    """The constraints for a setup.cfg.

    Args:
        setup_cfg: The file's text.

    Returns:
        Lines of the form ``name==version``, sorted.

    Raises:
        ValueError: A dependency states no floor.
    """
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(setup_cfg)
    lists = [config["options"]["install_requires"]]
    lists += [text for extra, text in config["options.extras_require"].items() if extra not in TOOL_EXTRAS]
    constraints = []
    for line in "\n".join(lists).splitlines():
        requirement = line.strip()
        if not requirement:
            continue
        match = _FLOOR.match(requirement)
        if match is None:
            raise ValueError(f"setup.cfg names {requirement!r} without a floor; write it as name>=version")
        constraints.append(f"{match['name']}=={match['version']}")
    return sorted(set(constraints), key=str.lower)


if __name__ == "__main__":
    print("\n".join(floors(Path(sys.argv[1]).read_text(encoding="utf-8"))))
