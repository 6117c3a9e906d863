"""Build the icon pack that ``backsoon.http.icons`` draws from.

Run by a maintainer when Font Awesome Free has a new release, never at install time. It needs two
packages, as archives or unpacked directories:

* the newest npm package: every drawing, with today's names and their aliases
      npm pack @fortawesome/fontawesome-free
* the Python package 6.6.0: the complete list of version 4 names (the npm package carries only the
  part of it that is not a matter of style), and the few icons that version 7 no longer has
      pip download --no-deps fontawesomefree==6.6.0

Then, from the root of the repository:

    python scripts/build_icons.py fortawesome-fontawesome-free-7.3.1.tgz \
        fontawesomefree-6.6.0-py3-none-any.whl

With ``--check`` nothing is written: the exit code is 1 when the pack in the tree holds anything
else than what these two packages give. After a new release, mend the versions in ``NOTICE``.

The pack is gzip around one JSON document per line, so that a reader can look at two thousand icons
and parse one. Line 1 is an object: ``about`` (versions and attribution), ``aliases`` (other name →
name) and ``v4`` (version 4 name → [style, name]). Each further line is
``["name", {"style": [width, height, "path"]}]``. Everything is sorted and carries no time stamp.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACK = Path(__file__).parents[1] / "src/backsoon/http/icons_data/pack.json.gz"
STYLES = ("solid", "regular", "brands")
PREFIXES = {"fas": "solid", "far": "regular", "fab": "brands"}
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# The commands and numbers of SVG path data; nothing in it can end an attribute.
PATH_DATA = re.compile(r"[MmLlHhVvCcSsQqTtAaZz0-9 ,.+-]+")
ATTRIBUTION = (
    "Font Awesome Free by Fonticons, Inc. (https://fontawesome.com), icons under CC BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/); converted to this format by Backsoon"
)

Drawing = tuple[int, int, str]  # width and height of the view box that begins at 0 0; path data


class SourceError(Exception):
    """A given package is not what this script expects; the message says how."""


@dataclass(frozen=True)
class IconSet:
    """What one release of Font Awesome Free offers."""

    drawings: Mapping[str, Mapping[str, Drawing]]
    aliases: Mapping[str, str]

    def knows(self, name: str) -> bool:
        """Whether the release has this name, be it an icon's own or an alias."""
        return name in self.drawings or name in self.aliases


def read_member(package: Path, ending: str) -> str:
    """Text of the file in a directory, tar or zip archive whose path, with a slash before it, ends
    with ``ending``.

    Of several matches the one highest up counts: the Python package holds a copy of the npm
    package further down. Raises ``SourceError`` when there is none.
    """
    if package.is_dir():
        paths = [
            path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()
        ]
        return (package / _topmost(package, paths, ending)).read_text("utf-8")
    if zipfile.is_zipfile(package):
        with zipfile.ZipFile(package) as archive:
            return archive.read(_topmost(package, archive.namelist(), ending)).decode()
    if package.is_file() and tarfile.is_tarfile(package):
        with tarfile.open(package) as archive:
            member = archive.extractfile(_topmost(package, archive.getnames(), ending))
            if member is not None:
                return member.read().decode()
    raise SourceError(f"{package}: neither a directory nor a tar or zip archive with {ending}")


def _topmost(package: Path, paths: Sequence[str], ending: str) -> str:
    matches = [path for path in paths if f"/{path}".endswith(ending)]
    if not matches:
        raise SourceError(f"{package}: no file {ending} in it")
    return min(matches, key=lambda path: (len(PurePosixPath(path).parts), path))


def read_icon_set(package: Path) -> IconSet:
    """The free icons of a package; raises ``SourceError`` for data that cannot be trusted."""
    families: dict[str, Any] = json.loads(read_member(package, "/metadata/icon-families.json"))
    drawings = {}
    aliases = {}
    for name, entry in families.items():
        styles = entry["svgs"]["classic"]
        drawings[name] = {
            style: _drawing(name, styles[style]) for style in STYLES if style in styles
        }
        for alias in entry.get("aliases", {}).get("names", ()):
            aliases[alias] = name
    for name in (*drawings, *aliases):
        if not NAME.fullmatch(name):
            raise SourceError(f"{package}: {name!r} is not a name we can look up")
    return IconSet(drawings, aliases)


def _drawing(name: str, svg: Mapping[str, Any]) -> Drawing:
    width, height, path = svg["width"], svg["height"], svg["path"]
    if svg["viewBox"] != [0, 0, width, height]:
        raise SourceError(f"{name}: the view box {svg['viewBox']} does not begin at 0 0")
    if not isinstance(path, str) or not PATH_DATA.fullmatch(path):
        raise SourceError(f"{name}: more than one path, or path data with unknown characters")
    return int(width), int(height), path


def with_dropped_icons(newest: IconSet, older: IconSet) -> IconSet:
    """``newest``, and from ``older`` the icons of which it knows no name at all."""
    dropped = {name: found for name, found in older.drawings.items() if not newest.knows(name)}
    aliases = {
        alias: name
        for alias, name in older.aliases.items()
        if name in dropped and not newest.knows(alias)
    }
    return IconSet({**newest.drawings, **dropped}, {**newest.aliases, **aliases})


def read_v4_names(package: Path, icons: IconSet) -> dict[str, tuple[str, str]]:
    """Version 4 name → (style, present name), as in Font Awesome's own shims.

    Entries are ``[old name, prefix or null, new name or null]``. Those with a number as the first
    member stand for a code point of the old font and are of no use for class names.
    """
    names = {}
    for old, prefix, new in json.loads(read_member(package, "/metadata/shims.json")):
        if not isinstance(old, str):
            continue
        name = icons.aliases.get(new or old, new or old)
        if name not in icons.drawings:
            raise SourceError(f"{package}: the version 4 name {old!r} leads to no icon")
        names[old] = (PREFIXES[prefix or "fas"], name)
    return names


def read_versions(npm_package: Path, python_package: Path) -> dict[str, str]:
    """The release numbers that the two packages state about themselves."""
    npm = str(json.loads(read_member(npm_package, "/package.json"))["version"])
    metadata = read_member(python_package, ".dist-info/METADATA")
    python = re.search(r"^Version: (\S+)$", metadata, re.MULTILINE)
    if python is None:
        raise SourceError(f"{python_package}: its METADATA states no version")
    return {"npm @fortawesome/fontawesome-free": npm, "PyPI fontawesomefree": python[1]}


def pack_text(icons: IconSet, v4: Mapping[str, tuple[str, str]], versions: object) -> bytes:
    """The lines of the pack, not yet compressed."""
    about = {"attribution": ATTRIBUTION, "versions": versions}
    documents: list[object] = [{"about": about, "aliases": icons.aliases, "v4": v4}]
    documents += [[name, icons.drawings[name]] for name in sorted(icons.drawings)]
    lines = (json.dumps(line, separators=(",", ":"), sort_keys=True) for line in documents)
    return "".join(f"{line}\n" for line in lines).encode()


def compressed(text: bytes) -> bytes:
    """Gzip without time stamp and file name: the same text gives the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(text)
    return buffer.getvalue()


def is_current(pack: Path, text: bytes) -> bool:
    """Whether the pack holds ``text``.

    The content is compared, not the file: another zlib may compress the same text differently.
    """
    try:
        return gzip.decompress(pack.read_bytes()) == text
    except (OSError, EOFError):
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """Build or check the pack; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build the icon pack from Font Awesome Free.")
    parser.add_argument("npm_package", type=Path, help="npm package, archive or directory")
    parser.add_argument("python_package", type=Path, help="fontawesomefree 6.6.0, same forms")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if it differs")
    parser.add_argument("--output", type=Path, default=PACK, help="the pack (default: in src)")
    options = parser.parse_args(argv)
    try:
        icons = with_dropped_icons(
            read_icon_set(options.npm_package), read_icon_set(options.python_package)
        )
        v4 = read_v4_names(options.python_package, icons)
        versions = read_versions(options.npm_package, options.python_package)
    except SourceError as error:
        print(f"Nothing was written. {error}", file=sys.stderr)
        return 2
    text = pack_text(icons, v4, versions)
    if options.check:
        current = is_current(options.output, text)
        print(f"{options.output} is {'up to date' if current else 'not what the sources give'}")
        return 0 if current else 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(compressed(text))
    drawings = sum(len(styles) for styles in icons.drawings.values())
    print(
        f"{options.output}: {len(icons.drawings)} icons, {drawings} drawings, "
        f"{len(icons.aliases)} aliases, {len(v4)} version 4 names, "
        f"{options.output.stat().st_size} bytes"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
