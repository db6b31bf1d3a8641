"""What differs from one world to the next, with the source or reason of every range."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCANNERS", "Scanner", "Variety"]

Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """One kind of lidar: where its beams look, as its data sheet says; at most Variety.rays are ahead."""

    name: str
    share: float  # of batches
    blocks: tuple[tuple[int, float, float], ...]  # beams, lowest, highest (degrees); evenly within a block
    columns: int  # of a full turn
    jitter: float = 0.0  # how far each ray lies off the grid, in steps of it: a pattern that does not repeat

    @property
    def beams(self) -> int:
        """Of all blocks."""
        return sum(count for count, _, _ in self.blocks)


SCANNERS: tuple[Scanner, ...] = (
    # Velodyne HDL-64E S2 manual: 32 beams from +2 to -8.33 by 1/3 degree, 32 from -8.83 to -24.33 by 1/2.
    Scanner(name="64 uneven", share=0.24, blocks=((32, -24.33, -8.83), (32, -8.33, 2.0)), columns=1024),
    Scanner(name="64 even", share=0.12, blocks=((64, -22.5, 22.5),), columns=1024),  # Ouster OS1-64
    Scanner(name="128", share=0.1, blocks=((128, -25.0, 15.0),), columns=512),  # Velodyne VLS-128
    Scanner(name="32 even", share=0.16, blocks=((32, -30.67, 10.67),), columns=1080),  # Velodyne HDL-32E
    # Velodyne VLP-32C: most of its beams lie near the horizon.
    Scanner(
        name="32 uneven",
        share=0.1,
        blocks=((6, -25.0, -6.2), (20, -4.67, 2.0), (6, 2.33, 15.0)),
        columns=1800,
    ),
    Scanner(name="16", share=0.1, blocks=((16, -15.0, 15.0),), columns=1800),  # Velodyne VLP-16
    # Hesai Pandar40P: a third of a degree around the horizon, coarse below and above.
    Scanner(name="40", share=0.07, blocks=((8, -25.0, -7.0), (25, -6.0, 2.0), (7, 3.0, 15.0)), columns=1600),
    # Two VLP-32C above each other, one turned over, as Argoverse 2 merges them; fewer columns for `rays`.
    Scanner(
        name="2 x 32",
        share=0.06,
        blocks=(
            *((6, -25.0, -6.2), (20, -4.67, 2.0), (6, 2.33, 15.0)),
            *((6, -15.0, -2.33), (20, -2.0, 4.67), (6, 6.2, 25.0)),
        ),
        columns=1024,
    ),
    # Livox Mid-360: 200,000 points a second over -7 to 52 degrees, no two turns alike.
    Scanner(name="rosette", share=0.05, blocks=((40, -7.0, 52.0),), columns=500, jitter=0.5),
)


@dataclass(frozen=True, kw_only=True)
class Variety:
    """Ranges that every moment draws from; lengths in m."""

    # Length, width, height of car, pedestrian, cyclist and their standard deviations: between the anchors
    # that PointPillars has for KITTI (3.9 x 1.6 x 1.56, .8 x .6 x 1.73, 1.76 x .6 x 1.73) and for nuScenes
    # (cars 4.6 x 2 x 1.7).
    sizes: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
        ((4.25, 1.75, 1.53), (0.42, 0.11, 0.1)),
        ((0.72, 0.65, 1.7), (0.14, 0.08, 0.13)),
        ((1.75, 0.62, 1.72), (0.09, 0.06, 0.1)),
    )
    sitting: float = 0.06  # share of people who sit: on benches, kerbs, steps
    sitting_height: float = 1.25  # of a seat of .45 m and a sitting height of .8 m, rounded
    rays: int = 32768  # that a sweep has ahead: the most of SCANNERS
    lidar_height: Span = (1.2, 2.2)  # from a small robot's mast to a van's roof
    lidar_ahead: Span = (-0.6, 1.0)
    lidar_height_error: float = 0.05  # standard deviation: calibration by hand, load, tyres
    lidar_turn_error_deg: float = 0.3  # of roll, pitch and yaw; calibration tools promise .1 to .5
    kept: Span = (0.5, 1.0)  # share of rays: slower turns, dual use, filters
    max_range: Span = (50.0, 120.0)  # data sheets at 10 % reflectivity to those at 80 %
    dropout: Span = (0.0, 0.1)  # of near returns
    dropout_far: Span = (0.0, 0.4)
    noise: Span = (0.01, 0.04)  # standard deviation of the range; data sheets say 1 to 5 cm
    faint: Span = (0.005, 0.06)  # reflectivity seen at 60 m: dark cars are lost early on real drives
    reflectivity: Span = (0.02, 0.9)  # of any object: black paint to plates and signs at 905 nm
    ground: Span = (0.04, 0.45)  # wet asphalt to dry concrete and grass
    no_intensity: float = 0.3  # share of worlds: some drivers write none, or a constant
    gain: Span = (0.3, 2.0)  # full scale is a matter of each driver
    power: Span = (0.4, 2.0)  # and so is the curve
    falloff: Span = (0.0, 1.2)  # power of the range, where a lidar does not make up for it
    ego: float = 0.2  # share of worlds where the lidar sees its own vehicle
    turned: float = 0.4  # share of moments whose region looks elsewhere than the vehicle goes
    days: float = 0.6  # share in full daylight for sure; robots work by day more than by night
    sky: Span = (0.6, 3.0)  # against a clear one: overcast skies are far brighter than the ground
    exposure: Span = (0.4, 3.0)  # automatic exposure by sky, by ground, or by what moves
    gamma: Span = (0.75, 1.4)  # of drivers and cameras, on top of the usual one
    contrast: Span = (0.8, 1.8)  # from haze on the lens to the curves that drivers show off with
    cast: float = 0.12  # white balance: largest error of a channel
    grey: float = 0.6  # how much of the colour is lost at most: monochrome and dull cameras
    blurred: float = 0.25  # share of images that are not quite sharp
    streets: float = 0.75  # share of moments in a street; the others are yards, squares and fields
    parked: int = 14  # cars in two rows
    row: float = 0.55  # share of streets with cars parked on a side
    half_width: Span = (2.6, 7.0)  # of the road: a lane and a half to four lanes
    along_deg: float = 12.0  # standard deviation of the road's direction against the vehicle's
    across: float = 0.12  # share of streets that cross the vehicle's way: at junctions
    kerb: Span = (0.0, 0.2)  # height: dropped to bus stop
    rise: float = 0.05  # slope beside the road, at most: lawns and banks
    grade: float = 0.03  # standard deviation of a change of slope ahead: roads are seldom steeper by more
    # From the bumper of a small robot to a car's windscreen and a van's roof: ahead, left, up.
    camera_at: tuple[Span, Span, Span] = ((-0.3, 1.6), (-0.4, 0.4), (0.5, 2.1))
    camera_side: Span = (0.75, 1.05)  # tangent of half the view across: 74 to 90 degrees and more
    camera_up: Span = (0.18, 0.5)  # tangents above and below: wide images to square ones
    camera_down: Span = (0.22, 0.7)
    aside: float = 0.25  # share of cameras that look aside of the region
    camera_aside_deg: float = 60.0  # at most; of six cameras around, one looks 30 degrees past an axis
