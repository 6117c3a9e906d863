"""Icon classes such as ``fas fa-tools``, drawn as inline SVG from Font Awesome Free.

The maintenance page is one response without static files, so an icon cannot be a web font. What
an operator typed is only ever *looked up*: no character of it gets into the markup.

Names of versions 4 to 7 are understood. The order of the classes is free, unknown classes are
ignored, and an icon that is not free in the style asked for is drawn in one in which it is. The
pack of drawings (see ``scripts/build_icons.py`` for its format and origin) is read when an icon is
asked for that was not lately resolved: a few milliseconds when settings are saved or a page is
prepared, never per request. Only resolved icons stay in memory.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

logger = logging.getLogger("backsoon")

PACK = Path(__file__).with_name("icons_data") / "pack.json.gz"

DEFAULT_ICON = "fas fa-tools"

# Longer than any class attribute that a person writes for one icon; the rest is not worth a look.
MAX_LENGTH = 255

# In the order in which they stand in for each other.
STYLES = ("solid", "regular", "brands")

# Class → style. Styles that exist only in the paid edition get the free one nearest in weight.
# The bare "fa" is missing on purpose: it is version 4's way of naming no style.
STYLE_CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("fas", "fa-solid", "fad", "fass", "fasds"), "solid"),
    **dict.fromkeys(("far", "fa-regular", "fasr", "fadr", "fasdr"), "regular"),
    **dict.fromkeys(("fal", "fa-light", "fasl", "fadl", "fasdl"), "regular"),
    **dict.fromkeys(("fat", "fa-thin", "fast", "fadt", "fasdt"), "regular"),
    **dict.fromkeys(("fab", "fa-brands"), "brands"),
}

# What may follow "fa-" without being an icon: size, motion, place, family. Whole names, because
# "fa-stack" modifies and "fa-stack-overflow" is an icon.
MODIFIERS = frozenset(
    """
    2xs xs sm lg xl 2xl 1x 2x 3x 4x 5x 6x 7x 8x 9x 10x
    fw ul li border inverse pull-left pull-right pull-start pull-end
    stack stack-1x stack-2x layers layers-text layers-counter
    width-auto width-fixed canvas-square canvas-roomy
    rotate-90 rotate-180 rotate-270 rotate-by
    flip flip-360 flip-horizontal flip-vertical flip-both
    beat beat-fade bounce buzz fade float jello pulse shake swing wag
    spin spin-pulse spin-reverse spin-snap spin-snap-4 spin-snap-8 swap-opacity
    classic sharp duotone sharp-duotone
    """.split()  # noqa: SIM905 sixty short words read better without quotes
)

_NAME_CLASS = re.compile(r"fa-([a-z0-9]+(?:-[a-z0-9]+)*)")
_PATH_DATA = re.compile(r"[MmLlHhVvCcSsQqTtAaZz0-9 ,.+-]+")


@dataclass(frozen=True, slots=True)
class Icon:
    """One drawing. The view box begins at 0 0; width and height are in its units."""

    name: str
    style: str
    width: int
    height: int
    path: str


@dataclass(frozen=True, slots=True)
class IconRequest:
    """What a class string asks for.

    ``names`` are to be tried in this order; ``style`` is empty when no class names one.
    """

    names: tuple[str, ...]
    style: str = ""


# The default is drawn without the pack, so that a page has its icon whatever happened to the files.
BUILT_IN_ICON = Icon(
    name="screwdriver-wrench",
    style="solid",
    width=576,
    height=512,
    path=(
        "M70.8-6.7c5.4-5.4 13.8-6.2 20.2-2L209.9 70.5c8.9 5.9 14.2 15.9 14.2 26.6"
        "l0 49.6 90.8 90.8c33.3-15 73.9-8.9 101.2 18.5L542.2 382.1c18.7 18.7 18.7 49.1 0 67.9"
        "l-60.1 60.1c-18.7 18.7-49.1 18.7-67.9 0L288.1 384c-27.4-27.4-33.5-67.9-18.5-101.2"
        "l-90.8-90.8-49.6 0c-10.7 0-20.7-5.3-26.6-14.2L23.4 58.9c-4.2-6.3-3.4-14.8 2-20.2"
        "L70.8-6.7zm145 303.5c-6.3 36.9 2.3 75.9 26.2 107.2l-94.9 95"
        "c-28.1 28.1-73.7 28.1-101.8 0s-28.1-73.7 0-101.8l135.4-135.5 35.2 35.1zM384.1 0"
        "c20.1 0 39.4 3.7 57.1 10.5 10 3.8 11.8 16.5 4.3 24.1L388.8 91.3c-3 3-4.7 7.1-4.7 11.3"
        "l0 41.4c0 8.8 7.2 16 16 16l41.4 0c4.2 0 8.3-1.7 11.3-4.7l56.7-56.7"
        "c7.6-7.5 20.3-5.7 24.1 4.3 6.8 17.7 10.5 37 10.5 57.1 0 43.2-17.2 82.3-45 111.1"
        "l-49.1-49.1c-33.1-33-78.5-45.7-121.1-38.4l-56.8-56.8 0-29.7-.2-5"
        "c-.8-12.4-4.4-24.3-10.5-34.9 29.4-35 73.4-57.2 122.7-57.3z"
    ),
)
_BUILT_IN_NAMES = frozenset({"screwdriver-wrench", "tools"})


class _PackError(Exception):
    """The pack is missing or damaged."""


def resolve_icon(css_class: str) -> Icon | None:
    """The icon that a class string names, or None when there is none. Never raises.

    A pack that cannot be read is logged once; until it can be, the default icon alone is known.
    """
    request = parse_icon_class(css_class)
    if request is None:
        return None
    if request.names[0] in _BUILT_IN_NAMES:
        return BUILT_IN_ICON
    try:
        return _find(request)
    except _PackError as error:
        _report_once(PACK, str(error))
        return None


def icon_svg(css_class: str) -> str | None:
    """Inline SVG of the icon that a class string names, or None when there is none.

    Safe to be marked safe: made of numbers and path data, and of nothing from ``css_class``.
    """
    icon = resolve_icon(css_class)
    return None if icon is None else render_svg(icon)


def render_svg(icon: Icon) -> str:
    """The markup of an icon: decorative, one line high, in the colour of the text around it.

    Height and overflow are attributes, which need no style sheet and yield to any. Drawings since
    version 7 reach a little over their view box, which a browser would cut off.
    """
    return (
        f'<svg viewBox="0 0 {icon.width} {icon.height}" height="1em" overflow="visible" '
        f'aria-hidden="true" focusable="false" fill="currentColor">'
        f'<path d="{icon.path}"/></svg>'
    )


def parse_icon_class(css_class: str) -> IconRequest | None:
    """Read a class string; None when no class in it could name an icon.

    Letter case is ignored, because phones begin a field with a capital. Modifiers come last among
    the names instead of being dropped: should one ever become an icon, it is found when it stands
    alone.
    """
    if len(css_class) > MAX_LENGTH:
        return None
    classes = css_class.lower().split()
    style = next((STYLE_CLASSES[word] for word in classes if word in STYLE_CLASSES), "")
    matches = (_NAME_CLASS.fullmatch(word) for word in classes if word not in STYLE_CLASSES)
    names = sorted((match[1] for match in matches if match), key=MODIFIERS.__contains__)
    return IconRequest(tuple(names), style) if names else None


@lru_cache(maxsize=64)
def _find(request: IconRequest) -> Icon | None:
    """Look an icon up in the pack.

    Raises ``_PackError``, which is not cached: a pack that comes back is read again.
    """
    try:
        with gzip.open(PACK) as lines:
            index = json.loads(lines.readline())
            wishes = list(_wishes(request, index["aliases"], index["v4"]))
            drawings = _drawings({name for name, _ in wishes}, lines)
        found = (_choose(name, style, drawings.get(name, {})) for name, style in wishes)
        return next((icon for icon in found if icon is not None), None)
    except Exception as error:  # a damaged file fails in many ways, the page in none
        raise _PackError(f"{type(error).__name__}: {error}") from error


def _wishes(
    request: IconRequest, aliases: Mapping[str, str], v4: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Icon name and style, best first.

    Version 4 gave some of today's names to other drawings ("fa fa-trash" was an open can). Only
    version 4 wrote classes without a style; with a style its names are a last resort.
    """
    for name in request.names:
        present = (aliases.get(name, name), request.style or STYLES[0])
        if name not in v4:
            yield present
            continue
        style, old = v4[name]
        yield from ((present, (old, style)) if request.style else ((old, style), present))


def _drawings(names: Iterable[str], lines: Iterable[bytes]) -> dict[str, dict[str, Any]]:
    """The pack's entries for these names.

    Reads to the end even when all are found, for there stands the checksum of the file.
    """
    beginnings = tuple(f'["{name}",'.encode() for name in names)
    return dict(json.loads(line) for line in lines if line.startswith(beginnings))


def _choose(name: str, style: str, drawings: Mapping[str, Any]) -> Icon | None:
    """The drawing in the style asked for, else in the first that there is."""
    for candidate in (style, *STYLES):
        if candidate in drawings:
            width, height, path = drawings[candidate]
            # The markup is declared safe, so the file is not trusted to hold only drawings.
            if not _PATH_DATA.fullmatch(path):
                raise ValueError(f"{name}: not path data")
            return Icon(name, candidate, int(width), int(height), path)
    return None


_reported: set[Path] = set()


def _report_once(pack: Path, problem: str) -> None:
    if pack not in _reported:
        _reported.add(pack)
        logger.warning(
            "The icon pack %s cannot be read (%s). Pages show the default icon; "
            "reinstall the package to get the others back.",
            pack,
            problem,
        )


# For whoever needs an icon in any case: ``icon_svg(chosen) or DEFAULT_SVG``.
DEFAULT_SVG = render_svg(BUILT_IN_ICON)
