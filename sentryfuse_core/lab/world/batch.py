"""Training batches: independent random moments, rendered straight to the model's inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.config import Config
from sentryfuse_core.lab.world.audio import hear, noise_tape, voices
from sentryfuse_core.lab.world.camera import View, render
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.lab.world.exposure import developed, expose
from sentryfuse_core.lab.world.imu import draw_bias, measure
from sentryfuse_core.lab.world.late import earlier
from sentryfuse_core.lab.world.lidar import sweep
from sentryfuse_core.lab.world.objects import uniform
from sentryfuse_core.lab.world.scan import Scan, draw_scan, plain_scan
from sentryfuse_core.lab.world.scene import Scene, attitude, draw_scenes
from sentryfuse_core.lab.world.variety import Variety
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.imu import resample
from sentryfuse_core.preprocess.tensors import SEEN_STRIDE, UNSEEN

__all__ = [
    "CAMERA_SPREAD_M",
    "SEEN_PIXELS",
    "SEEN_RETURNS",
    "Conditions",
    "WorldBatch",
    "microphones",
    "render_batch",
    "training_batch",
]

_VIEW = View(
    width=GEOMETRY.image_width,
    height=GEOMETRY.image_height,
    focal=GEOMETRY.image_fx,
    cx=GEOMETRY.image_cx,
    cy=GEOMETRY.image_cy,
    fine=2,
)
SEEN_PIXELS = 12  # of the virtual camera that an object has to fill to be visible at all
SEEN_RETURNS = 3  # of the lidar
CAMERA_SPREAD_M = (0.4, 0.3, 0.35)  # how far the camera may be from its usual place
_BESIDE_RAD = 1.45  # an edge of a view further aside than this is out of the virtual camera's anyway


@dataclass(frozen=True, eq=False)
class Conditions:
    """What makes B moments easy or hard, [B] each."""

    light: Tensor  # 0 = night, 1 = noon
    rain_mm_h: Tensor
    fog: Tensor  # extinction per metre
    rough: Tensor  # 0 = smooth ground, 1 = the roughest


@dataclass(frozen=True, eq=False)
class WorldBatch:
    """B moments as a model takes them, with the truth."""

    image: Tensor  # [B, 3, 128, 384] RGB 0..1 at the virtual camera
    camera_position: Tensor  # [B, 3] m, base frame
    points: Tensor  # [B, R, 4] x, y, z (m, base frame), intensity 0..1; NaN = no return
    imu: Tensor  # [B, 32, 6] gyro rad/s, specific force m/s^2, base axes, over 100 ms
    tilt: Tensor  # [B, 2] roll and pitch (rad) as made from the IMU
    attitude: Tensor  # [B, 2] roll and pitch (rad) as they are
    audio: Tensor  # [B, 2, 3200] left, right at 16 kHz, full scale 1.0
    boxes: Tensor  # [B, M, 7] centre x, y, z, length, width, height (m), yaw (rad)
    classes: Tensor  # [B, M] int64, -1 = none
    conditions: Conditions
    seen: Tensor | None  # [B, 1, 32, 96] share of the image that the camera sees; None: all of it
    pixels: Tensor  # [B, M] that each box's object fills in the image
    returns: Tensor  # [B, M] points of the lidar on it


def training_batch(
    config: WorldConfig,
    *,
    batch: int,
    seed: int,
    device: torch.device | str = "cpu",
    age_s: Tensor | None = None,
) -> WorldBatch:
    """Draw and render `batch` moments that depend on `seed` alone.

    `age_s` [B]: the same moments so long before.
    """
    sensors = Config()
    generator = torch.Generator(device).manual_seed(seed)
    scene = draw_scenes(config, batch=batch, generator=generator)
    if age_s is not None:
        scene = earlier(scene, age_s)
    if config.variety is None:
        at = sensors.lidar.translation_m
        scan = plain_scan(config.lidar, config.weather, at, batch=batch, device=generator.device)
    else:
        scan = draw_scan(config, config.variety, batch=batch, generator=generator)
    if config.variety is None:
        usual = torch.tensor(sensors.camera.translation_m, device=generator.device)
        spread = torch.tensor(CAMERA_SPREAD_M, device=generator.device)
    else:
        low, high = torch.tensor(config.variety.camera_at, device=generator.device).T
        usual, spread = (low + high) / 2, (high - low) / 2
    position = usual + spread * uniform(-1, 1, (batch, 3), generator)
    return render_batch(scene, config, sensors, scan=scan, position=position, generator=generator)


def render_batch(
    scene: Scene,
    config: WorldConfig,
    sensors: Config,
    *,
    scan: Scan,
    position: Tensor,
    generator: torch.Generator,
) -> WorldBatch:
    """What the sensors have of the moments of `scene`, the camera at `position` [B, 3]."""
    batch, variety = len(scene), config.variety
    # Many solids are dear to draw; a view without subpixels makes up for it.
    view = _VIEW if variety is None else replace(_VIEW, fine=1)
    # Drawn before what depends on the scene: a while ago the camera was the same.
    taken = None if variety is None else _draw_taking(variety, batch, generator)
    radiance, pixels = render(scene, view, position=position, haze_m=config.camera.haze_m)
    averaged = (config.camera.focal / _VIEW.focal) ** 2
    points, returns = sweep(scene, scan, config.weather, forward_only=True, generator=generator)
    targets = config.targets
    if taken is not None:
        radiance = radiance * taken.exposure[:, None, None]
    image = expose(radiance, config.camera, light=scene.light, averaged=averaged, generator=generator)
    if variety is not None and taken is not None:
        image = developed(image.view(batch, 3, _VIEW.height, _VIEW.width), variety, taken.developing)
        image = torch.where(taken.seen > 0.0, image, UNSEEN)
    return WorldBatch(
        image=image.view(batch, 3, _VIEW.height, _VIEW.width),
        camera_position=position,
        points=points,
        imu=_imu(scene, config, generator),
        tilt=_measured_tilt(scene, config, generator),
        attitude=scene.tilt,
        audio=microphones(scene.slots(config.objects[1]), config, sensors, generator),
        boxes=scene.boxes[:, :targets],
        classes=scene.classes[:, :targets],
        conditions=Conditions(scene.light, scene.rain_mm_h, scene.fog, scene.rough),
        seen=None if taken is None else functional.avg_pool2d(taken.seen, SEEN_STRIDE),
        pixels=pixels[:, :targets],
        returns=returns[:, :targets],
    )


@dataclass(frozen=True, eq=False)
class _Taking:
    """How B images are taken."""

    seen: Tensor  # [B, 1, H, W] 1 where the camera sees
    exposure: Tensor  # [B] factor on the light
    developing: torch.Generator


def _draw_taking(variety: Variety, batch: int, generator: torch.Generator) -> _Taking:
    low, high = variety.exposure
    exposure = low * (high / low) ** uniform(0, 1, (batch,), generator)
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    developing = torch.Generator(generator.device).manual_seed(seed)
    return _Taking(_in_view(variety, batch, generator), exposure, developing)


def _in_view(variety: Variety, batch: int, generator: torch.Generator) -> Tensor:
    """1 where a real camera sees, 0 around: the virtual one is wider and lower than many, [B, 1, H, W].

    Some cameras look aside of the region's axis, so that they see the region in part.
    """

    def between(span: tuple[float, float]) -> Tensor:
        return span[0] + (span[1] - span[0]) * uniform(0, 1, (batch, 1, 1), generator)

    right, down = _VIEW.slopes(generator.device)
    reach = math.radians(variety.camera_aside_deg)
    aside = between((-reach, reach)) * (between((0, 1)) < variety.aside)
    left_edge = (between(variety.camera_side).atan() + aside).clamp(max=_BESIDE_RAD).tan()
    right_edge = (between(variety.camera_side).atan() - aside).clamp(max=_BESIDE_RAD).tan()
    seen = (right < right_edge) & (right > -left_edge)
    seen = (
        seen & (down[:, None] > -between(variety.camera_up)) & (down[:, None] < between(variety.camera_down))
    )
    return seen[:, None].float()


def _measured_tilt(scene: Scene, config: WorldConfig, generator: torch.Generator) -> Tensor:
    """Roll and pitch [B, 2] in rad with an error like the attitude filter's, which grows with the bumps."""
    elsewhere = scene.way + uniform(0, 1000, (len(scene),), generator)
    error = config.imu.tilt_error * attitude(scene.bumps, elsewhere)[0]
    noise = torch.randn(error.shape, generator=generator, device=generator.device)
    return scene.tilt + error + math.radians(config.imu.tilt_noise_deg) * noise


def _imu(scene: Scene, config: WorldConfig, generator: torch.Generator) -> Tensor:
    """Readings [B, 32, 6]: samples of the window, interpolated as the robot's are."""
    samples = round(GEOMETRY.imu_window_s * config.imu.rate_hz)
    motion = scene.ego_motion[:, None].expand(-1, samples, -1)
    bias = draw_bias(config.imu, batch=len(scene), generator=generator)
    steps = (
        torch.arange(samples, device=generator.device) - samples + uniform(0, 1, (len(scene), 1), generator)
    )
    speed = scene.ego_motion[:, :1]
    way = scene.way[:, None] + speed * steps / config.imu.rate_hz
    tilt, slope = attitude(scene.bumps.repeat_interleave(samples, dim=0), way.flatten())
    readings = measure(
        motion,
        bias,
        config.imu,
        tilt=tilt.view(-1, samples, 2),
        tilt_rate=slope.view(-1, samples, 2) * speed[..., None],
        course=scene.course[:, None],
        generator=generator,
    )
    return resample(steps / config.imu.rate_hz, readings)


def microphones(scene: Scene, config: WorldConfig, sensors: Config, generator: torch.Generator) -> Tensor:
    """What the two microphones record in one window, noise included, [B, 2, 3200]."""
    model = config.sound
    spacing = sensors.audio.spacing_m
    margin = math.ceil(2 * spacing / model.speed_m_s * model.sample_rate_hz)
    heard = GEOMETRY.audio_samples
    samples = 2 ** math.ceil(math.log2(heard + 2 * margin))
    seconds = torch.arange(samples, device=generator.device) / model.sample_rate_hz
    noise = noise_tape(scene.classes, samples, model, generator=generator)
    start = uniform(0, 60, (len(scene), 1, 1), generator)
    sound = voices(scene.classes, scene.speed, scene.traits, seconds=seconds + start, noise=noise)
    pcm = hear(scene, sound, model, middle=sensors.audio.translation_m, spacing=spacing)
    pcm = pcm[..., margin : margin + heard]
    return pcm + model.noise * torch.randn(pcm.shape, generator=generator, device=generator.device)
