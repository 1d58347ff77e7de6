"""The report page: one self-contained file for runs and probes, from their folders alone.

The file asks nothing of the network, and its policy (CSP) lets it ask nothing: the one script and the one style are
allowed by their hashes. The data travel deflated in base64 and are unpacked by the browser; they reach the page through
textContent alone, so that nothing in a prompt, a name or a column can become a part of the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lorascope import __version__
from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.report import page_words
from lorascope.report.page_facts import FRAMES, FRAMES_OF_MANY, MANY, encode
from lorascope.report.page_privacy import scrub
from lorascope.report.page_profile import profile_source
from lorascope.report.page_run import SAMPLES, run_source
from lorascope.report.page_source import Source
from lorascope.runs import rundir

SCRIPTS = (
    *("facts.js", "draw.js", "map.js", "difference.js", "explore.js"),
    *("sections.js", "study.js", "recommendation.js", "page.js"),
)
TITLE = 60
"""Most characters of a name in the title of the window."""


def write_page(path: Path, text: str) -> Path:
    """Write a page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rundir.write_text(path, text)
    return path


def page_of_run(folder: Path, results: Mapping[str, Any] | None = None) -> str:
    """The page that lies in a run's own folder, samples included; `results` as in `run_source`."""
    return page_of([run_source(folder, results=results)])


def page_of_profile(folder: Path, profile: SensitivityProfile) -> str:
    """The page that lies in a probe's own folder."""
    return page_of([profile_source(folder, profile)])


def frames_for(sources: int) -> int:
    """Frames that each of so many sources gets on one page."""
    return FRAMES if sources <= MANY else FRAMES_OF_MANY


def samples_for(sources: int, wanted: int = SAMPLES) -> int:
    """Samples that each of so many sources gets, so that the page holds about `wanted`."""
    return max(1, wanted // sources) if wanted else 0


def page_of(
    sources: Sequence[Source],
    *,
    remarks: Sequence[str] = (),
    pairs: Sequence[Mapping[str, Any]] = (),
    live: str = "",
) -> str:
    """The text of the page.

    `remarks` are said of several sources, `pairs` are the differences between two of them (`page_profile.pairs_of`);
    `live` is the version of a page that is served.
    """
    title, about = _names(sources)
    several = len(sources) > 1
    parts, blob = [], b""
    for source in sources:
        plain, data = encode(source.map)
        for part in plain["parts"].values():
            if "at" in part:
                part["at"] += len(blob)
        blob += data
        parts.append({**source.about, "map": plain})
    content = {
        "title": title,
        "about": about,
        "verdict": scrub(page_words.verdict_of_several(remarks)) if several else parts[0]["verdict"],
        "sure": _sure(sources) if several else parts[0]["sure"],
        "pairs": list(pairs),
        "frames": frames_for(len(sources)),
        "live": live,
        "sources": parts,
    }
    return render(content, blob)


def render(content: Mapping[str, Any], blob: bytes = b"") -> str:
    """The text of a page: its content and the bytes of its parts, in the template that draws them."""
    title, live = str(content["title"]), str(content["live"])
    script = "\n".join(_template(name) for name in SCRIPTS)
    style = _template("page.css")
    policy = [
        "default-src 'none'", f"script-src '{_hash(script)}'", f"style-src '{_hash(style)}'", "img-src data:",
        f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    values = {
        "csp": "; ".join(policy),
        "version": html.escape(__version__),
        "title": html.escape(f"{title[:TITLE]} - lorascope"),
        "css": style,
        "script": script,
        "data": pack(content, blob),
    }
    # One pass, so that nothing that was filled in is filled in again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _template("page.html"))


def pack(content: Any, blob: bytes) -> str:
    """Length of the JSON (4 bytes, little-endian), the JSON, the bytes: deflated, in base64."""
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(len(text).to_bytes(4, "little") + text + blob, 9)).decode()


def unpack(page: str) -> tuple[Any, bytes]:
    """What `pack` put into a page: the content and the bytes of the parts."""
    found = re.search(r'<script type="application/json" id="data">"([^"]*)"</script>', page)
    if not found:
        raise ValueError("no data in this page")
    data = zlib.decompress(base64.b64decode(found[1]))
    size = int.from_bytes(data[:4], "little")
    return json.loads(data[4 : 4 + size]), data[4 + size :]


def _names(sources: Sequence[Source]) -> tuple[str, str]:
    """The heading and the line beside it."""
    if len(sources) == 1:
        return sources[0].about["name"], sources[0].about["line"]
    models = sorted({source.about["model"] for source in sources})
    tasks = sorted({source.about["dataset"] for source in sources})
    return f"{_count(sources)} side by side", f"{_list(tasks)} on {_list(models)}"


def _count(sources: Sequence[Source]) -> str:
    """2 runs, 1 probe"""
    runs = sum(source.about["kind"] == "run" for source in sources)
    counts = (("run", runs), ("probe", len(sources) - runs))
    return ", ".join(f"{count} {word}{'s' * (count > 1)}" for word, count in counts if count)


def _sure(sources: Sequence[Source]) -> list[str]:
    """How sure, of several: a short sentence, then what explains each kind of source, once."""
    kinds = {source.about["kind"] for source in sources}
    runs = "no test over seeds" if "run" in kinds else ""
    probes = "intervals over batches" if "profile" in kinds else ""
    explained = [words for source in sources for words in source.about["sure"][1:]]
    return [f"{_count(sources)}, {' and '.join(filter(None, (runs, probes)))}", *dict.fromkeys(explained)]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value


@cache
def _template(name: str) -> str:
    return (files("lorascope.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
