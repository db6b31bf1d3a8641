"""Records in order: data set x backbone x method x run, the benchmark's cells, and what is missing."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sentryfuse_core.lab.bench.records import Mask, Record, RecordError, RecordRow, Run

__all__ = [
    "DENSE",
    "OURS",
    "RATIOS",
    "RIVAL_KINDS",
    "Group",
    "Setting",
    "Study",
    "arrange",
    "masks_of",
    "settings_of",
]

OURS, DENSE = "ours", "dense"  # the methods every comparison is about
RATIOS = (0.25, 0.5, 0.75, 0.9)
RIVAL_KINDS = ("zero_shot", "refit", "trained")
_WHOLE_KINDS = ("reference", "small")  # networks of one size: read at ratio 0 whatever the cell's ratio
_SPLITS = ("val", "test")
_FEWEST_RUNS = 3


@dataclass(frozen=True)
class Setting:
    """Which sensors a cell has: `kind` is all, without, only or mean, over the `masks`."""

    kind: str
    masks: tuple[Mask, ...]
    sensor: str = ""

    @property
    def name(self) -> str:
        """For people."""
        names = {"all": "all sensors", "mean": "mean over all masks"}
        return names.get(self.kind, f"{self.kind} {self.sensor}")

    @property
    def is_missing(self) -> bool:
        """Whether sensors are missing in every mask; the mean over all masks is not counted as such."""
        return self.kind in ("without", "only")


@dataclass(frozen=True, eq=False)
class Group:
    """Everything measured on one data set and backbone: records by method and run."""

    data: str
    backbone: str
    modalities: Mask
    records: Mapping[str, Mapping[Run, Record]]
    kinds: Mapping[str, str]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.data}/{self.backbone}"

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that any method has."""
        return tuple(sorted({run for records in self.records.values() for run in records}))

    def cells(self) -> list[tuple[float, Setting]]:
        """Its cells: a ratio and which sensors there are."""
        return list(itertools.product(RATIOS, settings_of(self.modalities)))

    def methods(self, *kinds: str) -> list[str]:
        """Methods of these kinds, by name."""
        return sorted(method for method, kind in self.kinds.items() if kind in kinds)

    def ratios(self, method: str) -> list[float]:
        """Every ratio at which any run of the method was tested."""
        return sorted({row.ratio for record in self.records.get(method, {}).values() for row in record.rows})

    def own_ratio(self, method: str, ratio: float) -> float:
        """Where a method's rows for `ratio` are: at 0 for networks of one size."""
        return 0.0 if self.kinds.get(method) in _WHOLE_KINDS else round(ratio, 4)

    def rows(
        self, method: str, ratio: float, masks: Sequence[Mask], split: str
    ) -> dict[Run, list[RecordRow]]:
        """The method's rows at `masks`, for every run that has all of them."""
        own = self.own_ratio(method, ratio)
        found = {}
        for run, record in sorted(self.records.get(method, {}).items()):
            rows = [record.index[mask, own, split] for mask in masks if (mask, own, split) in record.index]
            if rows and len(rows) == len(masks):
                found[run] = rows
        return found

    def scores(
        self, method: str, ratio: float, masks: Sequence[Mask], split: str, *, of: str = "accuracy"
    ) -> dict[Run, float]:
        """Accuracy in per cent by run, averaged over `masks`; runs that lack one of them are left out.

        `of` names another number of the rows.
        """
        rows = self.rows(method, ratio, masks, split)
        return {run: sum(getattr(row, of) for row in found) / len(found) for run, found in rows.items()}


@dataclass(frozen=True, eq=False)
class Study:
    """All groups, and in words what there should be and is not."""

    groups: tuple[Group, ...]
    missing: tuple[str, ...]


def masks_of(modalities: Mask) -> tuple[Mask, ...]:
    """The 2^M - 1 sets of sensors that are not empty, large ones first."""
    sizes = range(len(modalities), 0, -1)
    return tuple(mask for size in sizes for mask in itertools.combinations(modalities, size))


def settings_of(modalities: Mask) -> tuple[Setting, ...]:
    """All sensors, each one missing, each one alone, and the mean over all masks; none twice."""
    if not modalities:
        return ()
    settings = [
        Setting("all", (modalities,)),
        *(
            Setting("without", (tuple(name for name in modalities if name != gone),), gone)
            for gone in modalities
        ),
        *(Setting("only", ((name,),), name) for name in modalities),
        Setting("mean", masks_of(modalities)),
    ]
    seen: dict[tuple[Mask, ...], Setting] = {}
    for setting in settings:
        if setting.masks != ((),):
            seen.setdefault(setting.masks, setting)
    return tuple(seen.values())


def arrange(records: Iterable[Record]) -> Study:
    """Groups in order of data set and backbone, and what is missing.

    Expected is every method of a data set on every backbone and run that is there, dense and ours besides.
    Raises RecordError where records of one group contradict each other.
    """
    by_group: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        by_group[record.data, record.backbone].append(record)
    groups = [_group(data, backbone, found) for (data, backbone), found in sorted(by_group.items())]
    methods: defaultdict[str, set[str]] = defaultdict(lambda: {DENSE, OURS})
    for group in groups:
        methods[group.data] |= group.kinds.keys()
    wanted = {(one, run.seed, method) for one in groups for run in one.runs for method in methods[one.data]}
    there = {
        (one, run.seed, method) for one in groups for method, runs in one.records.items() for run in runs
    }
    absent = sorted((group.data, group.backbone, seed, method) for group, seed, method in wanted - there)
    missing = [f"{data}/{backbone}/s{seed}/{method}: no record" for data, backbone, seed, method in absent]
    for group in groups:
        if len(group.runs) < _FEWEST_RUNS:
            missing.append(f"{group.name}: {len(group.runs)} runs of the {_FEWEST_RUNS} that intervals need")
        for by_run in group.records.values():
            missing += [text for record in by_run.values() if (text := _lacks(group, record))]
    return Study(tuple(groups), tuple(missing))


def _group(data: str, backbone: str, records: Sequence[Record]) -> Group:
    by_method: defaultdict[str, dict[Run, Record]] = defaultdict(dict)
    kinds: dict[str, str] = {}
    modalities = records[0].modalities
    for record in records:
        if record.modalities != modalities:
            raise RecordError(
                f"{record.name} has modalities {list(record.modalities)} and {records[0].name} "
                f"{list(modalities)}; run one of them again"
            )
        if kinds.setdefault(record.method, record.kind) != record.kind:
            raise RecordError(
                f"{record.name} is of kind {record.kind!r}, elsewhere {kinds[record.method]!r}; use one"
            )
        if record.run in by_method[record.method]:
            raise RecordError(f"there are two records of {record.name}, fold {record.fold}; keep one")
        by_method[record.method][record.run] = record
    return Group(data, backbone, modalities, dict(by_method), kinds)


def _lacks(group: Group, record: Record) -> str:
    """The benchmark's rows that a record does not have, in words; empty where it has all."""
    ratios = (0.0,) if record.kind in _WHOLE_KINDS else RATIOS
    wanted = itertools.product(masks_of(group.modalities), ratios, _SPLITS)
    gone = [key for key in wanted if key not in record.index]
    if not gone:
        return ""
    (mask, ratio, split), total = gone[0], len(masks_of(group.modalities)) * len(ratios) * len(_SPLITS)
    return (
        f"{record.name}: {len(gone)} of {total} rows are missing, first {split} at r = {ratio:g} "
        f"with {' + '.join(mask)}"
    )
