"""Why a sensor brings nothing: what the graph knows of its topic, put in its report and in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock

from rclpy.impl.rcutils_logger import RcutilsLogger

from sentryfuse_core.text import bounded
from sentryfuse_core.types import SensorReport, SensorState
from sentryfuse_ros.problems import Problem

__all__ = ["Causes"]

_SILENT = ("never", "timeout")  # codes of reports that know no more than that nothing comes


class Causes:
    """Explains silence by the problems of the topics; any thread may call."""

    def __init__(self, problems: Callable[[], Mapping[str, Problem]], logger: RcutilsLogger) -> None:
        self._problems = problems
        self._logger = logger
        self._lock = Lock()
        self._logged: set[tuple[str, str, str]] = set()  # name, code, and the remedy that the graph knows

    def explained(self, reports: Mapping[str, SensorReport]) -> dict[str, SensorReport]:
        """The reports, with the reason why nothing comes where the graph knows it.

        A report that knows more itself, such as a wrong clock or a frame that tf2 has not, keeps its own.
        """
        found = dict(reports)
        for name, problem in self._problems().items():
            if found[name].code in _SILENT:
                found[name] = replace(
                    found[name], code=problem.code, reason=problem.reason, remedy=problem.remedy
                )
        return found

    def log(self, reports: Mapping[str, SensorReport]) -> None:
        """Log, once, why a sensor brings nothing; again with another remedy, and after it has been well.

        The reports are explained ones. A sensor that fell silent and whose topic is in order is left to
        the log of its transitions.
        """
        problems = self._problems()
        for name, report in reports.items():
            problem = problems.get(name)
            codes = {"never"} if problem is None else {"never", problem.code}
            known = problem is not None and report.code == problem.code
            cause = (name, report.code, report.remedy if known else "")
            with self._lock:
                if report.state is SensorState.OK:
                    self._logged = {item for item in self._logged if item[0] != name}
                refused = report.state is SensorState.INIT and report.invalid > 0
                if not (refused or report.code in codes) or cause in self._logged:
                    continue
                self._logged.add(cause)
            what = "nothing received" if report.state is SensorState.INIT else "nothing received any more"
            what = "nothing usable received" if refused else what
            self._logger.warning(bounded(f"{name}: {what}: {report.reason}; {report.remedy}"))
