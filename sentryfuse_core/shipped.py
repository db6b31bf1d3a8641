"""Finds the files that come with the package: message definitions, parameter file, scenarios, recipes."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.errors import NotInstalledError
from sentryfuse_core.home import out_of_home

__all__ = ["or_shipped", "share_folder"]

_MARK = Path("msg") / "FusionStatus.msg"


def share_folder() -> Path:
    """The folder that holds msg/ and config/; raises NotInstalledError where there is none.

    It is looked for from where this package itself lies, never by the environment, so that code and
    files are of one build: `share` inside the package (a wheel), the checkout around it (linked in
    place), or share/sentryfuse under the prefix it was installed to (colcon, a ROS distribution).
    """
    package = Path(__file__).resolve().parent
    places = [package / "share", *(parent / "share" / "sentryfuse" for parent in package.parents)]
    if (package.parent / "package.xml").is_file():
        places.insert(1, package.parent)
    for place in places:
        if (place / _MARK).is_file():
            return place
    raise NotInstalledError(
        f"{_MARK} is neither in {places[0]} nor beside {package} nor in share/sentryfuse of its prefix; "
        "install the package again with pip or colcon"
    )


def or_shipped(name: str | Path) -> Path:
    """The file of that path, or the shipped one (such as config/criteria.yaml) where nothing is there."""
    path = out_of_home(name)
    if not path.exists() and not path.is_absolute() and ".." not in path.parts:
        shipped = share_folder() / path
        if shipped.is_file():
            return shipped
    return path
