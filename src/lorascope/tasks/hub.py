"""A data set's files on the Hugging Face hub, in the hub's own cache.

`fetch` asks once what a data set has, chooses files by their names, and downloads those that the cache lacks. Nothing
of a data set is ever run: of one that is a Python script alone, the hub's own copy in Parquet is taken.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import (
    constants,
    get_cached_repo_tree,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from lorascope import hub
from lorascope.errors import DataError
from lorascope.tasks.files import READERS, suffix
from lorascope.tasks.splits import by_split, whole

MAIN, PARQUET = "main", "refs/convert/parquet"
"""The branch that is asked for first, and the one on which the hub keeps its copies in Parquet."""

STALL = 60.0
"""Seconds without a byte after which a download through the hub's chunk store is given up; its library goes on for
many minutes. Plain downloads give up by themselves after about as long."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """What was fetched of a data set."""

    repo: str
    revision: str
    """Commit, 40 hex digits."""
    files: Mapping[str, tuple[Path, ...]]
    """Split -> its files, in their order."""
    notes: tuple[str, ...]
    """Sentences that the user should see."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a data set at one commit."""

    branch: str
    """Branch, tag or commit that was asked for."""
    commit: str
    names: tuple[str, ...]
    away: str | None = None
    """Why the listing is from the cache, if it is; only cached files can be had then."""


def fetch(
    repo: str, revision: str | None = None, *, splits: Collection[str] | None = None, tries: Sequence[str] = ()
) -> HubFiles:
    """The files of the splits of data set `repo` (owner/name), downloaded if need be.

    `revision`: commit, branch or tag; None is the newest. `splits`: under the hub's names, each of which must be there;
    None is whatever there is of train, validation and test. `tries` are remedies that an error should name.

    Without an answer in `hub.TIMEOUT` seconds, files are taken from the cache, where it has them at the commit that was
    asked for or that the hub named last; a note says so. DataError for everything else.
    """
    try:
        return _fetch(repo, revision, splits)
    except DataError as error:
        if error.code == "hub-unreachable" and not tries:
            tries = (f"hf download {repo} --repo-type dataset --local-dir FOLDER   (elsewhere), then --dataset FOLDER",)
        raise DataError(error.code, error.what, *error.tries, *tries) from None


def _fetch(repo: str, revision: str | None, splits: Collection[str] | None) -> HubFiles:
    if splits is not None and revision is not None and _COMMIT.fullmatch(revision):
        held = _held(repo, revision, splits)
        if held is not None:  # a commit never changes: nothing to ask
            return HubFiles(repo=repo, revision=revision, files=held, notes=())
    listing = _resolve(constants.ENDPOINT, constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE, repo, revision)
    if listing.away is not None:
        held = _held(repo, listing.commit, splits)
        if held is None:
            wanted = " and ".join(splits or ("train",))
            has = ", ".join(listing.names[:6]) + (" and more" if len(listing.names) > 6 else "")
            what = f"of {repo} at {listing.commit} the cache has no whole split {wanted}; it has: {has}"
            raise _unreachable(listing.away, what)
        note = f"{listing.away}; {repo} is taken from the cache, commit {listing.commit}"
        return HubFiles(repo=repo, revision=listing.commit, files=held, notes=(note,))
    chosen = _chosen(repo, listing, splits)
    paths = _paths(repo, listing.commit, chosen)
    names = [name for files in chosen.values() for name in files]
    if not all(path.is_file() for files in paths.values() for path in files):
        _download(repo, listing.commit, names)
    _remember(repo, listing)
    return HubFiles(repo=repo, revision=listing.commit, files=paths, notes=())


def _chosen(repo: str, listing: Listing, splits: Collection[str] | None) -> dict[str, tuple[str, ...]]:
    """The names of the files of each split. DataError where there are none, or several sets of them."""
    place = f"{repo} at {listing.commit}"
    try:
        chosen = by_split(listing.names, splits, place=place)
    except DataError as error:
        raise DataError(
            error.code,
            error.what,
            f'hf download {repo} --repo-type dataset --include "NAME/*" --local-dir FOLDER, then --dataset FOLDER/NAME',
        ) from None
    if not chosen and splits is None:
        chosen = _only_file(listing.names)
    missing = [split for split in splits or () if split not in chosen]
    if missing or not chosen:
        shown = ", ".join(listing.names[:12]) + (" and more" if len(listing.names) > 12 else "")
        wanted = f"no file of a split {missing[0]!r}" if missing else f"no {', '.join(READERS)} file for training"
        raise DataError("no-split", f"{place} has {wanted}; it holds: {shown or 'nothing'}")
    return chosen


def _only_file(names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The one data file of a data set that names no split; beside a script, a lone file is rarely the data."""
    data = [name for name in names if suffix(name) and not name.startswith(".") and name != "dataset_infos.json"]
    return {"train": (data[0],)} if len(data) == 1 and not _has_script(names) else {}


def _has_script(names: Collection[str]) -> bool:
    return any(name.endswith(".py") and "/" not in name for name in names)


# ---- what there is --------------------------------------------------------------------------------------------------


@cache
def _resolve(endpoint: str, cache_dir: str, off: bool, repo: str, revision: str | None) -> Listing:
    """The listing that has data: of the revision, or else of main or of the hub's copy in Parquet.

    Asked once per process, so that the splits of a run are of one commit. `endpoint`, `cache_dir` and `off` are there
    for their places in the key.
    """
    branches = (revision,) if revision is not None else (MAIN, PARQUET)
    away: str | None = None
    seen: list[Listing] = []
    for branch in branches:
        answer = away or _ask(repo, branch)
        if isinstance(answer, str):
            away, answer = answer, _cached(repo, branch, away=answer)
        if answer is None:
            continue
        seen.append(answer)
        if _has_data(answer.names):
            return answer
    if away is not None:
        raise _unreachable(away, f"{repo}{f' at {revision}' if revision else ''} is not in the cache")
    there = seen[0]
    if not _has_script(there.names):
        return there  # `_chosen` says what it lacks
    what = f"{repo} at {there.commit} is a Python script, which is not run, and holds no data files"
    if revision is not None:
        raise DataError("script-only", what, f"--data_revision {PARQUET}   (the hub's copy in Parquet)")
    raise DataError("script-only", f"{what}; the hub has no copy of it in Parquet")


def _has_data(names: Collection[str]) -> bool:
    """Whether files can be chosen among the names, or too many could be."""
    try:
        return bool(by_split(names) or _only_file(names))
    except DataError:
        return True


def _ask(repo: str, branch: str) -> Listing | str | None:
    """What the hub says a branch holds; in words why it says nothing; None if it has no copy in Parquet."""
    revision = None if branch == MAIN else branch
    try:
        info = hub.ask(lambda api: api.dataset_info(repo, revision=revision, timeout=hub.TIMEOUT))
    except GatedRepoError:
        raise _gated(repo) from None
    except RevisionNotFoundError:
        if branch == PARQUET:
            return None
        raise DataError("no-revision", f"{repo} on {hub.host()} has no revision {branch!r}", "leave it out") from None
    except (RepositoryNotFoundError, HFValidationError):
        what = f"{hub.host()} has no data set {repo!r} (or it is private)"
        raise DataError("no-dataset", what, "hf auth login   (if it is private)") from None
    if isinstance(info, str):
        return info
    names = tuple(file.rfilename for file in info.siblings or ())
    return Listing(branch=branch, commit=str(info.sha), names=names)


def _cached(repo: str, branch: str, *, away: str | None = None) -> Listing | None:
    """What the cache knows of a branch: its last commit, and the files there."""
    folder = cache_folder(repo)
    ref = folder / "refs" / branch
    commit = branch if _COMMIT.fullmatch(branch) else ref.read_text().strip() if ref.is_file() else None
    if commit is None:
        return None
    try:
        names = [file.path for file in get_cached_repo_tree(repo, repo_type="dataset", revision=commit)]
    except (CachedRepoTreeNotFoundError, HFValidationError):
        snapshot = folder / "snapshots" / commit
        names = sorted(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
    return Listing(branch=branch, commit=commit, names=tuple(names), away=away) if names else None


# ---- files ----------------------------------------------------------------------------------------------------------


def cache_folder(repo: str) -> Path:
    """Where the cache has everything of a data set."""
    return Path(constants.HF_HUB_CACHE) / f"datasets--{repo.replace('/', '--')}"


def _paths(repo: str, commit: str, chosen: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[Path, ...]]:
    snapshot = cache_folder(repo) / "snapshots" / commit
    return {split: tuple(snapshot / name for name in names) for split, names in chosen.items()}


def _held(repo: str, commit: str, splits: Collection[str] | None) -> dict[str, tuple[Path, ...]] | None:
    """The files of the splits where the cache has them all at that commit, else None.

    Without `splits`, the training files say that all are there, since `_download` fetches them last.
    """
    listing = _cached(repo, commit)
    if listing is None:
        return None
    try:
        chosen = by_split(listing.names, splits) or ({} if splits else _only_file(listing.names))
    except DataError:
        return None
    paths = _paths(repo, commit, chosen)
    there = all(path.is_file() for files in paths.values() for path in files) and all(map(whole, chosen.values()))
    return paths if there and all(split in chosen for split in splits or ("train",)) else None


def _remember(repo: str, listing: Listing) -> None:
    """Write down, where the hub's libraries do, which commit a branch had, for the day when the hub does not answer."""
    if _COMMIT.fullmatch(listing.branch):
        return
    ref = cache_folder(repo) / "refs" / listing.branch
    try:
        if not ref.is_file() or ref.read_text() != listing.commit:
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(listing.commit)
    except OSError:
        return  # a cache that others filled may be read-only


# ---- download -------------------------------------------------------------------------------------------------------


def _download(repo: str, commit: str, names: Sequence[str]) -> None:
    """Put the files that the cache lacks into it. DataError, never a long wait, where that fails.

    The last file comes first: shards are numbered, so that of a download that was broken off the gap shows.
    """
    snapshot = cache_folder(repo) / "snapshots" / commit
    missing = [name for name in reversed(names) if not (snapshot / name).is_file()]
    _knock(repo, commit, missing[0])
    moved = _Clock()
    failed: list[tuple[str, Exception]] = []

    def run() -> None:
        for name in missing:
            try:
                hf_hub_download(
                    repo,
                    name,
                    repo_type="dataset",
                    revision=commit,
                    endpoint=constants.ENDPOINT,
                    etag_timeout=hub.TIMEOUT,
                    tqdm_class=_bar_that_sets(moved),
                )
            except Exception as error:  # carried over to the caller's thread
                failed.append((name, error))
                return

    thread = threading.Thread(target=run, daemon=True)  # one that stands still must not keep the program from ending
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if moved.last is not None and time.monotonic() - moved.last > STALL:
            raise DataError(
                "download",
                f"{repo}: the hub's chunk store sends nothing for {STALL:g} s",
                "HF_HUB_DISABLE_XET=1 in the environment   (downloads without the chunk store)",
            )
    if failed:
        name, error = failed[0]
        if isinstance(error, GatedRepoError):
            raise _gated(repo)
        cause = error.__cause__ or error
        reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)[:200]
        raise DataError("download", f"{name} of {repo} cannot be downloaded: {reason}", "run it again") from cause


def _knock(repo: str, commit: str, name: str) -> None:
    """Ask for a file's size alone: a hub that has gone silent, or wants a login for files, is known in seconds."""
    url = hf_hub_url(repo, name, repo_type="dataset", revision=commit, endpoint=constants.ENDPOINT)
    try:
        answer = hub.ask(lambda api: get_hf_file_metadata(url, timeout=hub.TIMEOUT, endpoint=constants.ENDPOINT))
    except RepositoryNotFoundError:  # a gated one, which is one of these, shows its list of files to everybody
        raise _gated(repo) from None
    if isinstance(answer, str):
        raise _unreachable(answer, f"the cache lacks {name} of {repo} at {commit}")


@dataclass
class _Clock:
    last: float | None = None
    """When a download through the chunk store last moved; None before the first."""


def _bar_that_sets(clock: _Clock) -> Any:
    """A class like the hub's own progress bar, which also sets the clock."""
    plain: Any = tqdm

    def start(self: Any, *args: Any, name: str | None = None, **settings: Any) -> None:
        self.watched = (name or "").startswith("huggingface_hub.xet_get")
        if self.watched:
            clock.last = time.monotonic()
        plain.__init__(self, *args, name=name, **settings)

    def update(self: Any, n: float | None = 1) -> Any:
        if self.watched:
            clock.last = time.monotonic()
        return plain.update(self, n)

    return type("Bar", (plain,), {"__init__": start, "update": update})


# ---- errors ---------------------------------------------------------------------------------------------------------


def _unreachable(reason: str, what: str) -> DataError:
    return DataError("hub-unreachable", f"{reason}; {what}")


def _gated(repo: str) -> DataError:
    return DataError(
        "gated-data",
        f"{repo} is gated: {hub.host()} wants a login, and its owner's consent",
        f"{constants.ENDPOINT}/datasets/{repo}   (ask there)",
        "hf auth login",
    )
