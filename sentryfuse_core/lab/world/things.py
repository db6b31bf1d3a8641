"""Clutter: what stands about in the world and is no target."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLUTTER", "THINGS", "Thing"]


_BOX = (0, 0, 1, 1, 0, 1, 0, 0, 1)  # the whole of a thing, closed


@dataclass(frozen=True)
class Thing:
    """One kind; smallest and largest length, width and height in m."""

    name: str
    share: float
    smallest: tuple[float, float, float]
    largest: tuple[float, float, float]
    reflectivity: tuple[float, float] = (0.02, 0.8)
    green: float = 0.0  # 0 grey .. 1 foliage
    place: str = "any"  # in a street: line (along its houses), kerb, road, any
    solids: tuple[tuple[float, ...], ...] = (_BOX,)  # as shapes.SOLID, at most VARIED


CLUTTER: tuple[Thing, ...] = (
    Thing(
        name="pole",
        share=0.35,
        smallest=(0.12, 0.12, 2.5),
        largest=(0.3, 0.3, 5.0),
        reflectivity=(0.2, 0.6),
        green=0.0,
    ),
    Thing(
        name="wall",
        share=0.15,
        smallest=(1.5, 0.25, 1.2),
        largest=(4.5, 1.2, 3.0),
        reflectivity=(0.2, 0.5),
        green=0.0,
    ),
    Thing(
        name="bush",
        share=0.3,
        smallest=(0.7, 0.7, 0.6),
        largest=(1.8, 1.8, 1.6),
        reflectivity=(0.1, 0.4),
        green=1.0,
    ),
    Thing(
        name="bin",
        share=0.2,
        smallest=(0.4, 0.4, 0.8),
        largest=(0.8, 0.8, 1.3),
        reflectivity=(0.15, 0.5),
        green=0.2,
    ),
)


def _box(
    forward: float,
    left: float,
    length: float,
    width: float,
    bottom: float,
    top: float,
    *,
    clear: float = 0.0,
    colour: int = 0,
) -> tuple[float, ...]:
    return (forward, left, length, width, bottom, top, clear, float(colour), 1.0)


_LEAVES = (0.02, 0.6)  # reflectivity at 905 nm of leaves, far apart by kind and wetness
_PERSON_SITS = (
    _box(0.0, 0.0, 0.5, 0.75, 0.28, 0.75, colour=1),
    _box(0.0, 0.0, 0.22, 0.3, 0.76, 1.0, colour=2),
    _box(0.28, 0.0, 0.35, 0.6, 0.2, 0.45),
)
THINGS: tuple[Thing, ...] = (
    *(
        Thing(t.name, s, t.smallest, t.largest, place=p, green=t.green, solids=t.solids)
        for t, s, p in zip(CLUTTER, (0.14, 0.06, 0.1, 0.08), ("kerb", "line", "any", "kerb"), strict=True)
    ),
    # Detached and terraced houses; a wall longer than the view is a row of them.
    Thing(
        "house",
        0.16,
        (5.0, 4.0, 3.0),
        (20.0, 10.0, 9.0),
        place="line",
        solids=(
            _BOX,
            _box(0.2, 0.0, 0.25, 1.25, 0.0, 0.45, colour=1),
            _box(0.0, 0.0, 0.9, 1.02, 0.35, 0.5, colour=2),
        ),
    ),
    # Closed fronts of a town's blocks, with doors set back and bays that stand out.
    Thing(
        "facade",
        0.2,
        (15.0, 6.0, 6.0),
        (45.0, 12.0, 16.0),
        place="line",
        solids=(
            _box(0, 0, 1, 0.94, 0, 1),
            _box(0.1, 0, 0.3, 1, 0, 1),
            _box(-0.3, 0, 0.24, 0.98, 0, 0.3, colour=1),
            _box(0.4, 0, 0.16, 1.04, 0.25, 0.9, colour=1),
            _box(0, 0, 0.9, 1.03, 0, 0.06, colour=3),
        ),
    ),
    Thing(
        "hedge",
        0.1,
        (2.0, 0.5, 0.6),
        (14.0, 1.6, 2.6),
        place="line",
        reflectivity=_LEAVES,
        green=1.0,
        solids=(_box(0, 0, 1, 1, 0, 1, clear=0.15), _box(0, 0, 0.98, 0.6, 0, 0.95)),
    ),
    Thing(
        "fence",
        0.07,
        (3.0, 0.06, 0.7),
        (16.0, 0.2, 2.0),
        place="line",
        solids=(_box(0, 0, 1, 1, 0, 1, clear=0.5),),
    ),
    # Street trees: trunks of .15 to .7 m, crowns that begin above a van; the lidar sees into them.
    Thing(
        "tree",
        0.14,
        (2.5, 2.5, 4.0),
        (7.0, 7.0, 10.0),
        place="kerb",
        reflectivity=_LEAVES,
        green=1.0,
        solids=(
            _box(0, 0, 0.09, 0.09, 0, 0.5, colour=3),
            _box(0, 0, 1, 0.7, 0.42, 0.9, clear=0.5),
            _box(0, 0, 0.7, 1, 0.36, 1.0, clear=0.5),
            _box(0, 0, 0.5, 0.5, 0.45, 0.9, clear=0.2),
        ),
    ),
    Thing("trunk", 0.06, (0.2, 0.2, 3.0), (0.8, 0.8, 7.0), place="kerb", green=0.3),
    Thing(
        "sign",
        0.08,
        (0.08, 0.6, 2.0),
        (0.12, 1.0, 3.2),
        place="kerb",
        reflectivity=(0.3, 1.0),
        solids=(_box(0, 0, 1, 0.1, 0, 1), _box(0, 0, 0.6, 1, 0.72, 1.0, colour=1)),
    ),
    # Lorries, buses and trailers: real objects, none of the detector's classes (KITTI: Truck, Tram, Misc).
    Thing(
        "truck",
        0.05,
        (6.0, 2.1, 2.6),
        (12.0, 2.55, 4.0),
        place="road",
        solids=(
            _box(-0.1, 0, 0.78, 1, 0.28, 1.0),
            _box(0.39, 0, 0.22, 0.95, 0.15, 0.8, colour=1),
            _box(0.41, 0, 0.2, 0.96, 0.5, 0.72, clear=0.4, colour=2),
            _box(0.33, 0, 0.09, 0.98, 0, 0.28, colour=3),
            _box(-0.3, 0, 0.1, 0.98, 0, 0.28, colour=3),
            _box(-0.1, 0, 0.75, 0.5, 0.15, 0.3, colour=3),
        ),
    ),
    Thing(
        "bus",
        0.02,
        (9.0, 2.4, 2.8),
        (13.0, 2.6, 3.4),
        place="road",
        solids=(
            _box(0, 0, 1, 1, 0.1, 0.4),
            _box(0, 0, 0.98, 0.98, 0.4, 0.8, clear=0.5, colour=2),
            _box(0, 0, 1, 1, 0.8, 1.0, colour=1),
            _box(0, 0, 0.9, 0.7, 0.2, 0.55, colour=3),
        ),
    ),
    Thing(
        "trailer",
        0.03,
        (2.0, 1.4, 0.7),
        (6.0, 2.3, 2.4),
        place="road",
        solids=(
            _box(0.05, 0, 0.85, 1, 0.3, 1),
            _box(0, 0, 0.2, 0.98, 0, 0.4, colour=3),
            _box(-0.45, 0, 0.1, 0.06, 0.25, 0.35),
        ),
    ),
    # Wheels and people that are no cyclists, and two wheels without a rider.
    Thing(
        "wheelchair",
        0.02,
        (0.9, 0.6, 1.15),
        (1.15, 0.7, 1.4),
        place="any",
        solids=(*_PERSON_SITS, _box(-0.15, 0, 0.5, 0.95, 0, 0.42, clear=0.4, colour=3)),
    ),
    Thing(
        "pram",
        0.02,
        (0.8, 0.5, 0.9),
        (1.1, 0.65, 1.1),
        place="any",
        solids=(
            _box(0.1, 0, 0.7, 0.9, 0.4, 0.85),
            _box(0, 0, 0.8, 0.9, 0, 0.22, clear=0.3, colour=3),
            _box(-0.45, 0, 0.08, 0.7, 0.8, 1.0, colour=3),
        ),
    ),
    Thing(
        "bicycle",
        0.05,
        (1.6, 0.4, 0.95),
        (1.85, 0.6, 1.1),
        place="kerb",
        solids=(
            _box(0.32, 0, 0.34, 0.12, 0, 0.62, clear=0.35, colour=3),
            _box(-0.32, 0, 0.34, 0.12, 0, 0.62, clear=0.35, colour=3),
            _box(0, 0, 0.5, 0.1, 0.3, 0.85, clear=0.4),
            _box(0.22, 0, 0.05, 1, 0.9, 1.0, colour=3),
        ),
    ),
    Thing(
        "bench",
        0.03,
        (1.2, 0.5, 0.7),
        (2.0, 0.7, 0.95),
        place="any",
        solids=(
            _box(0, 0, 1, 0.8, 0.45, 0.58),
            _box(0, -0.4, 1, 0.15, 0.5, 1),
            _box(0.4, 0, 0.06, 0.8, 0, 0.5),
            _box(-0.4, 0, 0.06, 0.8, 0, 0.5),
        ),
    ),
)
