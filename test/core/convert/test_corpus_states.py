"""Damaged messages through the front end: none crashes it, and every sensor is well again afterwards."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from builders import MS, S, timeline
from damage import SENSOR, SOUND, damage

from sentryfuse_core.config import Config
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import Modality, SensorState

WHOLE = 100_000
STEP_NS = 2 * MS
WELL_S = 60.0  # of good messages: longer than the longest hold


def corpus(count: int) -> Iterator[tuple[str, Modality, int, Any]]:
    """`count` messages of all types in turn, half damaged at random and half by the fault `malformed`."""
    events = tuple(Event(0.0, 1e9, m.value, "malformed", {"share": 1.0}) for m in Modality)
    injector = FaultInjector(Scenario("corpus", 5, 1e9, events))
    for index in range(count):
        type_name = sorted(SOUND)[index % len(SOUND)]
        modality = SENSOR.get(type_name.rsplit("/", 1)[1], Modality.AUDIO)
        at_ns = S + index * STEP_NS
        item = copy.deepcopy(SOUND[type_name]())
        if hasattr(item, "header"):
            item.header.stamp.sec, item.header.stamp.nanosec = divmod(at_ns, S)
        if index // len(SOUND) % 2:
            damage(item, index)
        else:
            (delivery,) = injector.apply(f"/{type_name}", modality, item, at_s=index / 500)
            item = delivery.message
        yield type_name, modality, at_ns, item


@pytest.mark.parametrize("count", [10_000, pytest.param(WHOLE, marks=pytest.mark.corpus)])
def test_sensors_are_well_and_sets_flow_when_a_corpus_of_damage_is_over(count: int) -> None:
    ingest, sent, taken = Ingest(Config()), Counter[Modality](), 0
    for type_name, modality, at_ns, item in corpus(count):
        ingest.message(modality, item, type_name=type_name, arrival_ns=at_ns, received_ns=at_ns)
        sent[modality] += 1
        taken += len(ingest.take())
    end_ns = S + count * STEP_NS
    reports = ingest.reports(end_ns)
    for modality, report in reports.items():
        assert report.invalid > 0.3 * sent[modality], report
        assert not report.invalid_reasons.get("unreadable"), report  # an error that no check foresaw
    used = []
    for sample in timeline(Modality, WELL_S, start_ns=end_ns):
        ingest.sample(sample)
        used += [(synced.stamp_ns, ingest.trust(synced)[0]) for synced in ingest.take()]
    last_ns = end_ns + round(WELL_S * S)
    assert {report.state for report in ingest.reports(last_ns).values()} == {SensorState.OK}
    late = [names for stamp_ns, names in used if stamp_ns > last_ns - 5 * S]
    assert len(late) >= 48  # the lidar is the anchor, at 10 Hz
    assert np.mean([set(names) == set(Modality) for names in late]) > 0.95
