"""What holds for the synchroniser whatever arrives: order, exactly-once, completeness, bounded memory."""

from __future__ import annotations

import itertools
from collections import Counter

from builders import MS, PERIOD_NS, S, sample, timeline
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.config import Config, override
from sentryfuse_core.sync import Synchronizer, streams, synced_set
from sentryfuse_core.types import Modality, Sample, SyncedSet

CAMERA, LIDAR, IMU, AUDIO = Modality
T0 = 100 * S
PAYLOAD = sample(IMU, 0).payload
WINDOW_NS = {IMU: 100 * MS, AUDIO: 200 * MS}

few = settings(max_examples=40)


def _sample(modality: Modality, stamp_ns: int, arrival_ns: int) -> Sample:
    return sample(modality, stamp_ns, arrival_ns=arrival_ns, payload=PAYLOAD)


@st.composite
def jittered(draw: st.DrawFn, *, seconds: float = 1.4) -> dict[Modality, list[int]]:
    """Stamps of four streams, every interval within 8 % of its period, each with a phase of its own."""
    found = {}
    for modality, period_ns in PERIOD_NS.items():
        random = draw(st.randoms(use_true_random=False))
        stamp_ns, found[modality] = T0 + random.randrange(period_ns), []
        while stamp_ns < T0 + seconds * S:
            found[modality].append(stamp_ns)
            stamp_ns += random.randrange(period_ns * 92 // 100, period_ns * 108 // 100)
    return found


@st.composite
def chaos(draw: st.DrawFn) -> list[Sample]:
    """Anything: stamps from far back to far ahead, bursts, silence, arrivals that stand still."""
    arrival_ns, items = T0, []
    for _ in range(draw(st.integers(0, 150))):
        arrival_ns += draw(st.sampled_from([0, MS, 20 * MS, 110 * MS, 3 * S]))
        shift_ns = draw(
            st.sampled_from([0, 0, 0, -MS, -30 * MS, -700 * MS, -5 * S, 300 * MS, 9 * S, -T0 - 4 * S])
        )
        items.append(_sample(draw(st.sampled_from(list(Modality))), arrival_ns + shift_ns, arrival_ns))
    return items


def _run(samples: list[Sample], **sync: float) -> tuple[Synchronizer, list[SyncedSet]]:
    config = override(Config(), {f"sync.{name}": value for name, value in sync.items()})
    synchronizer = Synchronizer(config.sync, streams(config))
    return synchronizer, [
        synced_set(found, Modality) for item in samples for found in synchronizer.add(item.modality, item)
    ]


@few
@given(chaos())
def test_sets_are_in_order_and_hold_only_what_belongs_to_them_once_when_anything_arrives(
    samples: list[Sample],
) -> None:
    _, sets = _run(samples)
    assert [synced.sequence for synced in sets] == list(range(len(sets)))
    for before, after in itertools.pairwise(sets):
        assert (after.epoch, after.stamp_ns) > (before.epoch, before.stamp_ns)
        assert after.released_ns >= before.released_ns
    used = [id(synced.samples[m][0]) for synced in sets for m in (CAMERA, LIDAR) if m in synced.samples]
    assert len(used) == len(set(used))
    for synced in sets:
        assert set(synced.samples).isdisjoint(synced.absent)
        assert set(synced.samples) | set(synced.absent) == set(Modality)
        assert synced.released_ns >= synced.anchor_arrival_ns
        for modality, items in synced.samples.items():
            assert all(item.modality == modality for item in items)
            stamps_ns = [item.stamp_ns for item in items]
            assert stamps_ns == sorted(set(stamps_ns))
            if modality in WINDOW_NS:
                before = [at for at in stamps_ns if at <= synced.stamp_ns - WINDOW_NS[modality]]
                assert len(before) <= (modality == Modality.AUDIO)  # one block may reach into the window
                assert len(before) < len(stamps_ns)
                assert stamps_ns[-1] <= synced.stamp_ns
            else:
                assert len(items) == 1
                assert abs(synced.offset_ns(modality)) <= 40 * MS


@few
@given(chaos())
def test_every_sample_is_in_a_set_or_held_or_dropped_once_when_anything_arrives(
    samples: list[Sample],
) -> None:
    dropped: list[tuple[int, str]] = []
    config = Config()
    synchronizer: Synchronizer[Modality, Sample] = Synchronizer(
        config.sync, streams(config), on_drop=lambda _, item, reason: dropped.append((id(item), reason))
    )
    sets = [found for item in samples for found in synchronizer.add(item.modality, item)]
    used = {id(item) for found in sets for members in found.samples.values() for item in members}
    assert max(Counter(item for item, _ in dropped).values(), default=0) <= 1
    assert used.isdisjoint(item for item, _ in dropped)
    synchronizer.reset()  # what was held goes now
    assert {id(item) for item in samples} == used | {item for item, _ in dropped}
    assert {reason for _, reason in dropped} <= {
        "negative", "future", "duplicate", "not_believed", "overflow", "late", "unmatched", "reset",
    }  # fmt: skip


@few
@given(chaos())
def test_deadlines_are_never_in_the_past_and_always_end_when_anything_arrives(samples: list[Sample]) -> None:
    synchronizer, _ = _run(samples)
    now_ns = samples[-1].arrival_ns if samples else 0
    for _ in range(50):
        synchronizer.advance(now_ns)
        deadline_ns = synchronizer.next_deadline_ns()
        if deadline_ns is None:
            return
        assert deadline_ns > now_ns
        now_ns = deadline_ns
    raise AssertionError(f"still waiting for {synchronizer.next_deadline_ns()} ns")


@few
@given(jittered())
def test_every_lidar_stamp_has_a_complete_set_when_streams_are_steady(
    found: dict[Modality, list[int]],
) -> None:
    samples = [
        _sample(m, stamp_ns, stamp_ns + 5 * MS) for m, stamps_ns in found.items() for stamp_ns in stamps_ns
    ]
    samples.sort(key=lambda item: item.arrival_ns)
    synchronizer, sets = _run(samples)
    assert synchronizer.epoch == 0
    settled = [synced for synced in sets if T0 + S // 2 < synced.stamp_ns < T0 + 1.2 * S]
    assert [synced.stamp_ns for synced in settled] == [
        stamp_ns for stamp_ns in found[LIDAR] if T0 + S // 2 < stamp_ns < T0 + 1.2 * S
    ]
    for synced in settled:
        moment_ns = synced.stamp_ns
        for modality, window_ns in WINDOW_NS.items():
            stamps_ns = [item.stamp_ns for item in synced.samples[modality]]
            if modality == Modality.AUDIO:  # the block that reaches into the window comes first
                assert stamps_ns[0] == max(at for at in found[modality] if at <= moment_ns - window_ns)
                del stamps_ns[0]
            assert stamps_ns == [at for at in found[modality] if moment_ns - window_ns < at <= moment_ns]
        nearest_ns = min(abs(stamp_ns - moment_ns) for stamp_ns in found[CAMERA])
        if nearest_ns <= 40 * MS:
            assert abs(synced.offset_ns(CAMERA)) == nearest_ns
        else:
            assert CAMERA in synced.absent


@few
@given(jittered(seconds=1.2), st.data())
def test_sets_do_not_depend_on_arrival_order_when_no_deadline_fires(
    found: dict[Modality, list[int]], data: st.DataObject
) -> None:
    def shape(latency_ns: dict[Modality, int]) -> list[tuple[int, list[tuple[Modality, list[int]]]]]:
        items = [(m, stamp_ns) for m, stamps_ns in found.items() for stamp_ns in stamps_ns]
        items.sort(key=lambda item: item[1] + latency_ns[item[0]])
        # Every stream is known before the first set: who starts late is not waited for.
        known = [_sample(m, T0 - S - index, T0 - S) for index, m in enumerate(Modality)]
        samples = known + [_sample(m, stamp_ns, stamp_ns + latency_ns[m]) for m, stamp_ns in items]
        _, sets = _run(samples, max_wait_s=1.0)
        return [
            (synced.stamp_ns, [(m, [item.stamp_ns for item in items]) for m, items in synced.samples.items()])
            for synced in sets
            if T0 + S // 2 < synced.stamp_ns < T0 + 0.9 * S
        ]

    latency = st.fixed_dictionaries({modality: st.integers(0, 150 * MS) for modality in Modality})
    assert shape(data.draw(latency)) == shape(data.draw(latency))


def test_memory_is_bounded_when_streams_run_for_long() -> None:
    config = Config()
    synchronizer = Synchronizer(config.sync, streams(config))
    held = []
    for second in range(60):
        slow = second % 7 == 3
        items = timeline(Modality, 1.0, start_ns=T0 + second * S, dead=[(LIDAR, 0, 1)] if slow else [])
        for item in items:
            synchronizer.add(item.modality, item)
        held.append(sum(len(stream.samples) for stream in synchronizer._streams.values()))
    assert max(held) <= 100
    assert max(held[30:]) <= max(held[:30])
