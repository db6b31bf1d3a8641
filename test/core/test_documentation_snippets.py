"""The pages: their Python runs as it stands, without ROS, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({!r}))\n"


@pytest.mark.parametrize(
    ("page", "absent", "told"),
    [
        ("synchroniser.md", ["rclpy", "torch"], "1900000000 front ['front'] {'rear': <Absence.LATE"),
        ("health.md", ["rclpy", "torch"], "LOST timeout no new message"),
        ("pruning.md", ["rclpy"], "{'attend': 2, 'feed': 4} "),
    ],
)
def test_snippets_of_a_page_run_and_print_what_they_should(page: str, absent: list[str], told: str) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    code = WITHOUT.format(absent) + "\n".join(snippets)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_point_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_files_that_a_page_names_exist(page: Path) -> None:
    tops = "sentryfuse_core|sentryfuse_ros|test|tools|benchmarks|config|docs|launch|msg"
    named = re.findall(rf"`((?:{tops})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_functions_on_the_way_of_an_image_are_in_the_files_beside_them() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| `([\w/.]+)` \| `([\w.]+)` \|", text, re.MULTILINE)
    assert 5 <= len(rows) <= 9
    for file, name in rows:
        content = (ROOT / file).read_text(encoding="utf-8")
        owner, _, function = name.rpartition(".")
        assert f"def {function}(" in content, (file, name)
        assert f"class {owner}" in content or not owner, (file, name)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_site_lists_every_page_and_names_modules_that_exist() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f": {page.relative_to(ROOT)}\n" not in listed] == []
    modules = re.findall(r"^::: (.*)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    paths = [ROOT / name.replace(".", "/") for name in modules]
    assert [path for path in paths if not (path.is_dir() or path.with_suffix(".py").is_file())] == []
