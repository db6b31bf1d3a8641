"""The look of a report: a light style sheet, and what a dark screen changes of a replay's."""

from __future__ import annotations

__all__ = ["CSS", "DARK"]

CSS = """
:root { color-scheme: light; --ink: #2b3440; --faint: #5b6675; --line: #e1e5eb; --card: #fff; --page: #f5f7fa;
  --band: #eef1f5; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 18px; margin: 34px 0 10px; }
h3 { font-size: 14px; margin: 0 0 8px; font-weight: 600; }
.summary { margin: 0 0 18px; padding-left: 20px; } .summary li { margin: 2px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tiles div, article, figure, aside, table { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.tiles div { padding: 12px 16px; } .tiles b { display: block; font-size: 22px; }
.tiles span { color: var(--faint); font-size: 13px; }
figure { margin: 0; padding: 14px 16px; } svg { width: 100%; height: auto; display: block; }
figcaption, .keys { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 0 0 8px;
  color: var(--faint); font-size: 13px; }
i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 6px; vertical-align: -1px; }
i.line { height: 4px; background: var(--ink); vertical-align: 3px; }
i.dashed { border: 1.5px dashed var(--ink); background: none; }
aside { margin-top: 18px; padding: 12px 18px; border-left: 4px solid #e9b44c; }
aside h2 { margin: 0 0 4px; font-size: 15px; } aside ul { margin: 0; padding-left: 20px; }
.frames { display: grid; grid-template-columns: repeat(auto-fit, minmax(500px, 1fr)); gap: 14px; }
article { padding: 12px 14px; }
.pair { display: grid; grid-template-columns: 1.35fr 1fr; gap: 10px; align-items: center; }
.cameras { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.cameras p { margin: 2px 0 0; } .cameras .none { min-height: 90px; }
.pair img { width: 100%; border-radius: 6px; display: block; }
i.fault { background: #d1495b; height: 4px; vertical-align: 3px; }
.matrix td b, .matrix td span { display: block; }
.matrix td span, .unseen { color: var(--faint); font-size: 13px; }
b.pass { color: #2c8a58; } b.fail { color: #d1495b; }
.none { display: grid; place-items: center; min-height: 160px; background: var(--page); border-radius: 6px;
  color: var(--faint); font-size: 13px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; overflow: hidden; font-size: 14px; }
th, td { text-align: left; padding: 7px 14px; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--faint); font-weight: 600; font-size: 13px; } tr:last-child td { border-bottom: 0; }
.facts td:first-child { width: 190px; color: var(--faint); } .facts td { overflow-wrap: anywhere; }
@media (max-width: 640px) { .frames, .pair { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } article, figure, table { break-inside: avoid; } }
"""

DARK = """
@media (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #dde3ea; --faint: #98a4b3; --line: #333c47; --card: #1d242c;
    --page: #14191f; --band: #262f39; }
  b.pass { color: #5cc08d; } b.fail { color: #f07b8b; }
}
"""
