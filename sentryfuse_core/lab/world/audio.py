"""What objects sound like, and what two microphones hear of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sentryfuse_core.lab.world.config import CLASSES, SoundModel
from sentryfuse_core.lab.world.objects import CAR, CYCLIST, PEDESTRIAN
from sentryfuse_core.lab.world.scene import ABSENT, Scene

__all__ = ["hear", "noise_tape", "voices"]

# Broadband part of each class: lower and upper edge of the band in Hz.
_BANDS = ((250.0, 2500.0), (300.0, 1800.0), (1500.0, 6000.0))


def noise_tape(classes: Tensor, samples: int, model: SoundModel, *, generator: torch.Generator) -> Tensor:
    """Noise of unit power in the band of each of `classes` [*S], [*S, samples]; its end joins its start."""
    device = generator.device
    hertz = torch.fft.rfftfreq(samples, 1 / model.sample_rate_hz, device=device)
    low, high = torch.tensor(_BANDS, device=device).T[..., None]
    response = 1 / (1 + (low / hertz.clamp_min(1.0)) ** 4) / (1 + (hertz / high) ** 4)  # [3, F]
    response = response / response.pow(2).mean(dim=-1, keepdim=True).sqrt()
    white = torch.randn((*classes.shape, samples), generator=generator, device=device)
    tape: Tensor = torch.fft.irfft(torch.fft.rfft(white) * response[classes.clamp_min(0)], n=samples)
    return tape


def voices(classes: Tensor, speed: Tensor, traits: Tensor, *, seconds: Tensor, noise: Tensor) -> Tensor:
    """Sound pressure [B, M, N] of every object at 1 m, full scale 1.0; empty slots are silent.

    `seconds` [B, 1, N] or [N] is absolute time, so that consecutive windows join; `noise` [B, M, N] is
    the broadband part, in the band of the object's class.
    """
    t = seconds.expand(*classes.shape, seconds.shape[-1])
    trait = traits[..., None, :].unbind(-1)  # TRAITS of [B, M, 1]
    pace = speed[..., None]
    made = torch.zeros_like(t)
    for index, make in ((CAR, _car), (PEDESTRIAN, _pedestrian), (CYCLIST, _cyclist)):
        chosen = classes == index
        if bool(chosen.any()):
            sound = make(t[chosen], pace[chosen], [part[chosen] for part in trait], noise[chosen])
            made[chosen] = (sound * CLASSES[index].loudness).to(made.dtype)
    return made


def _harmonics(phase: Tensor, weights: Tensor) -> Tensor:
    """Sum of sin(k phase) times weights [..., K], phase [..., N] in radians, by Chebyshev's recurrence."""
    first, twice = torch.sin(phase), 2 * torch.cos(phase)
    before, current = torch.zeros_like(phase), first
    total = torch.zeros_like(phase)
    for k in range(weights.shape[-1]):
        total += current * weights[..., k : k + 1]
        before, current = current, twice * current - before
    return total


def _car(t: Tensor, speed: Tensor, trait: list[Tensor], noise: Tensor) -> Tensor:
    """Engine harmonics and tyre noise that grows with speed."""
    pitch_hz = 28 + 14 * trait[0] + 3 * speed
    k = torch.arange(1, 17, device=t.device)
    weights = (k**-0.7) * (1 + 0.6 * torch.cos(k * (1 + 2 * trait[1])))
    wobble = 0.6 * torch.sin(2 * math.pi * (1.5 + trait[2]) * t)
    engine = _harmonics(2 * math.pi * (pitch_hz * t + trait[3]) + wobble, weights)
    return 0.35 * engine + (0.12 + 0.14 * speed) * noise


def _pedestrian(t: Tensor, speed: Tensor, trait: list[Tensor], noise: Tensor) -> Tensor:
    """Foot steps, and for most a voice: harmonics of 100 to 250 Hz in syllables."""
    steps_hz = 1.6 + 0.5 * trait[0]
    since = torch.remainder(t * steps_hz + trait[1], 1.0) / steps_hz
    step = torch.exp(-since / 0.05) * (speed > 0)
    pitch_hz = 100 + 150 * trait[2]
    wobble = 1.5 * torch.sin(2 * math.pi * 2.3 * t + 6.3 * trait[3])
    k = torch.arange(1, 13, device=t.device)
    formants = torch.exp(-(((pitch_hz * k - 700) / 500) ** 2)) + 0.6 * torch.exp(
        -(((pitch_hz * k - 1900) / 600) ** 2)
    )
    syllable = (0.5 + 0.5 * torch.sin(2 * math.pi * (3 + 2 * trait[4]) * t + 6.3 * trait[5])) ** 1.5
    voice = _harmonics(2 * math.pi * pitch_hz * t + wobble, formants + 0.05) * syllable * (trait[6] < 0.75)
    return 2.2 * step * noise + 0.9 * voice + 0.08 * noise


def _cyclist(t: Tensor, speed: Tensor, trait: list[Tensor], noise: Tensor) -> Tensor:
    """Freewheel clicks, 14 to 40 a second, and the whirr of the chain."""
    clicks_hz = 14 + 4 * speed
    since = torch.remainder(t * clicks_hz + trait[0], 1.0) / clicks_hz
    ring_hz = 2600 + 1800 * trait[1]
    click = torch.exp(-since / 0.004) * torch.sin(2 * math.pi * ring_hz * since)
    pedal = 0.6 + 0.4 * torch.sin(2 * math.pi * (1.0 + 0.5 * trait[2]) * t + 6.3 * trait[3])
    return 3.0 * click + (0.35 + 0.06 * speed) * pedal * noise


def hear(
    scene: Scene, sound: Tensor, model: SoundModel, *, middle: tuple[float, float, float], spacing: float
) -> Tensor:
    """What arrives at the microphones [B, 2, N], left first, before their noise, of sound [B, M, N] at 1 m.

    Attenuation is 1/r. Only the difference of the two travel times is modelled (not the common delay, 0.1 s
    at most, nor Doppler shift), by a phase shift: the window wraps around, so cut `2 * spacing / speed of
    sound` from either end or fade between windows.
    """
    samples = sound.shape[-1]
    device = sound.device
    centre = torch.tensor(middle, device=device)
    side = torch.tensor(((0.0, spacing / 2, 0.0), (0.0, -spacing / 2, 0.0)), device=device)
    path = (scene.boxes[:, None, :, :3] - (centre + side)[None, :, None]).norm(dim=-1)  # [B, 2, M]
    delay_s = (path - path.mean(dim=1, keepdim=True)) / model.speed_m_s
    gain = torch.where(scene.classes[:, None] == ABSENT, 0.0, 1 / path.clamp_min(1.0))
    spectrum = torch.fft.rfft(sound)  # [B, M, F]
    omega = 2 * math.pi * torch.fft.rfftfreq(samples, 1 / model.sample_rate_hz, device=device)
    shift = torch.polar(gain[..., None].expand(*gain.shape, len(omega)), -delay_s[..., None] * omega)
    heard: Tensor = torch.fft.irfft((shift * spectrum[:, None]).sum(dim=2), n=samples)
    return heard
