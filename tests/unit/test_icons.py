"""Icon classes: what is understood, what is refused; nothing typed gets into the markup."""

from __future__ import annotations

import gzip
import json
import logging
import re
import runpy
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backsoon.http import icons
from backsoon.http.icons import (
    BUILT_IN_ICON,
    DEFAULT_ICON,
    DEFAULT_SVG,
    Icon,
    IconRequest,
    icon_svg,
    parse_icon_class,
    resolve_icon,
)
from scripts import build_icons

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def found(css_class: str) -> tuple[str, str] | None:
    """Name and style of the icon that a class string resolves to."""
    icon = resolve_icon(css_class)
    return None if icon is None else (icon.name, icon.style)


def assert_harmless(svg: str) -> None:
    """The markup is well-formed and consists of one svg element with one path, and no more."""
    root = ElementTree.fromstring(svg)
    (path,) = root
    assert root.tag == "svg"
    assert path.tag == "path"
    assert set(root.attrib) == {
        "viewBox",
        "height",
        "overflow",
        "aria-hidden",
        "focusable",
        "fill",
    }
    assert set(path.attrib) == {"d"}
    assert not any(text and text.strip() for text in root.itertext())
    assert re.fullmatch(r"0 0 [1-9]\d* [1-9]\d*", root.attrib["viewBox"])


@pytest.fixture(scope="module")
def pack_lines() -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(icons.PACK.read_bytes()).splitlines()]


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A path that stands in for the pack; nothing is there yet."""
    path = tmp_path / "pack.json.gz"
    monkeypatch.setattr(icons, "PACK", path)
    icons._find.cache_clear()
    yield path
    icons._find.cache_clear()


# What is understood


@pytest.mark.parametrize(
    ("css_class", "expected"),
    [
        ("fa fa-envelope-o", ("envelope", "regular")),
        ("fa fa-envelope", ("envelope", "solid")),
        ("fa fa-clock-o", ("clock", "regular")),
        ("fa fa-github", ("github", "brands")),
        ("fa fa-wrench", ("wrench", "solid")),
        ("fa fa-home", ("house", "solid")),
        ("fa fa-trash", ("trash-can", "solid")),
        ("fa fa-stack-overflow", ("stack-overflow", "brands")),
    ],
)
def test_version_4_names_resolve(css_class: str, expected: tuple[str, str]) -> None:
    assert found(css_class) == expected


@pytest.mark.parametrize(
    ("css_class", "expected"),
    [
        ("fas fa-tools", ("screwdriver-wrench", "solid")),
        ("fas fa-cog", ("gear", "solid")),
        ("fas fa-hard-hat", ("helmet-safety", "solid")),
        ("fas fa-exclamation-triangle", ("triangle-exclamation", "solid")),
        ("fas fa-sync-alt", ("rotate", "solid")),
        ("fas fa-server", ("server", "solid")),
        ("fas fa-trash", ("trash", "solid")),
        ("far fa-clock", ("clock", "regular")),
        ("far fa-calendar-alt", ("calendar-days", "regular")),
        ("far fa-smile", ("face-smile", "regular")),
        ("fab fa-python", ("python", "brands")),
        ("fab fa-stack-exchange", ("stack-exchange", "brands")),
        ("fab fa-stackpath", ("stackpath", "brands")),
    ],
)
def test_version_5_names_resolve(css_class: str, expected: tuple[str, str]) -> None:
    assert found(css_class) == expected


@pytest.mark.parametrize(
    ("css_class", "expected"),
    [
        ("fa-solid fa-screwdriver-wrench", ("screwdriver-wrench", "solid")),
        ("fa-solid fa-gear", ("gear", "solid")),
        ("fa-solid fa-tools", ("screwdriver-wrench", "solid")),
        ("fa-regular fa-envelope", ("envelope", "regular")),
        ("fa-brands fa-github", ("github", "brands")),
        ("fa-classic fa-solid fa-gear", ("gear", "solid")),
        ("fa-solid fa-0", ("0", "solid")),
    ],
)
def test_version_6_and_7_names_resolve(css_class: str, expected: tuple[str, str]) -> None:
    assert found(css_class) == expected


def test_an_icon_that_version_7_dropped_is_still_drawn() -> None:
    assert found("fas fa-vector-square") == ("vector-square", "solid")


@pytest.mark.parametrize(
    "css_class",
    [
        "fa-tools fas",
        "  fas \t fa-tools\n",
        "fas\u00a0fa-tools",
        "Fas fa-Tools",
        "fas fas fa-tools fa-tools",
        "fa-2x fa-spin fa-tools fa-fw fas fa-lg",
        "text-warning mt-3 fas fa-tools",
        "fas fa-nope fa-tools",
        "fa-tools",
    ],
)
def test_order_space_case_and_other_classes_do_not_matter(css_class: str) -> None:
    assert found(css_class) == ("screwdriver-wrench", "solid")


@pytest.mark.parametrize(
    "modifier",
    ["fa-spin", "fa-2x", "fa-fw", "fa-lg", "fa-stack", "fa-stack-1x", "fa-rotate-90", "fa-sharp"],
)
def test_modifiers_are_ignored_wherever_they_stand(modifier: str) -> None:
    assert found(f"fas {modifier} fa-wrench") == ("wrench", "solid")
    assert found(f"fas fa-wrench {modifier}") == ("wrench", "solid")
    assert found(f"fas {modifier}") is None


def test_the_first_icon_counts_when_two_are_named() -> None:
    assert found("fas fa-wrench fa-server") == ("wrench", "solid")


@pytest.mark.parametrize(
    ("css_class", "expected"),
    [
        ("fas fa-github", ("github", "brands")),
        ("far fa-wrench", ("wrench", "solid")),
        ("fab fa-wrench", ("wrench", "solid")),
        ("fal fa-envelope", ("envelope", "regular")),
        ("fad fa-envelope", ("envelope", "solid")),
        ("fa-thin fa-wrench", ("wrench", "solid")),
        ("fas fa-envelope-o", ("envelope", "regular")),
    ],
)
def test_an_icon_that_is_not_free_in_a_style_is_drawn_in_another(
    css_class: str, expected: tuple[str, str]
) -> None:
    assert found(css_class) == expected


def test_a_class_string_is_read_into_names_and_style() -> None:
    assert parse_icon_class("fa-spin far fa-clock") == IconRequest(("clock", "spin"), "regular")
    assert parse_icon_class("fa fa-clock-o") == IconRequest(("clock-o",), "")
    assert parse_icon_class("fa-solid fa-regular fa-clock") == IconRequest(("clock",), "solid")


# What is refused


@pytest.mark.parametrize(
    "css_class",
    [
        "",
        "   ",
        "fa",
        "fas",
        "fa-solid",
        "fa-",
        "tools",
        "fas tools",
        "bi bi-tools",
        "fas fa-nope",
        "fab fa-django",
        "<script>",
        "<script>alert(1)</script>",
        'fas fa-tools"><script>alert(1)</script>',
        "fas fa-<script>",
        "fas fa-../../etc/passwd",
        'fas fa-tools",',
        "fas fa-tools\x00",
        "fas fa--tools",
        "fas fa-töols",
        "\ud800 fa-\ud800",
        "x" * 10_000,
        "fas fa-" + "x" * 10_000,
        "fas fa-tools " + "fa-spin " * 1_250,
    ],
)
def test_what_names_no_icon_is_none(css_class: str) -> None:
    assert resolve_icon(css_class) is None
    assert icon_svg(css_class) is None


CLASS_PIECES = st.one_of(
    st.sampled_from(["fa", "fas", "far", "fab", "fa-solid", "fa-regular", "fa-brands", "bi"]),
    st.sampled_from(["fa-tools", "fa-github", "fa-envelope-o", "fa-0", "fa-spin", "fa-nope"]),
    st.sampled_from(["<script>", '"', "'", "&", "-", "\x00"]),
    st.text(max_size=12),
    st.from_regex(r"fa-[a-z0-9-]{1,9}", fullmatch=True),
)


@settings(max_examples=75, deadline=None)
@given(css_class=st.one_of(st.text(), st.lists(CLASS_PIECES, max_size=6).map(" ".join)))
def test_no_text_raises_or_gives_anything_but_a_drawing(css_class: str) -> None:
    svg = icon_svg(css_class)
    if svg is not None:
        assert_harmless(svg)
        assert "script" not in svg


# The markup


def test_an_icon_is_decorative_and_takes_the_colour_of_the_text() -> None:
    svg = icon_svg("fab fa-github")
    assert svg is not None
    assert_harmless(svg)
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-hidden"] == "true"
    assert root.attrib["focusable"] == "false"
    assert root.attrib["fill"] == "currentColor"


def test_the_markup_is_the_same_however_the_icon_was_named() -> None:
    assert (
        icon_svg("fa fa-gear fa-spin") == icon_svg("fa-solid fa-cog") != icon_svg("fas fa-wrench")
    )


def test_the_default_icon_is_built_in_and_equals_the_one_in_the_pack(
    pack_lines: list[Any],
) -> None:
    drawings = dict(pack_lines[1:])["screwdriver-wrench"]
    assert resolve_icon(DEFAULT_ICON) is BUILT_IN_ICON
    assert icon_svg(DEFAULT_ICON) == DEFAULT_SVG
    # Only one style: otherwise the shortcut past the pack would give a wrong one.
    assert drawings == {"solid": [BUILT_IN_ICON.width, BUILT_IN_ICON.height, BUILT_IN_ICON.path]}
    assert_harmless(DEFAULT_SVG)


# The pack in the tree


def test_every_drawing_in_the_pack_is_harmless(pack_lines: list[Any]) -> None:
    for name, styles in pack_lines[1:]:
        assert styles
        for style, (width, height, path) in styles.items():
            assert style in icons.STYLES
            assert_harmless(icons.render_svg(Icon(name, style, width, height, path)))


def test_every_alias_and_every_version_4_name_leads_to_a_drawing(pack_lines: list[Any]) -> None:
    index, drawings = pack_lines[0], dict(pack_lines[1:])
    assert len(drawings) > 1_900
    assert len(index["aliases"]) > 600
    assert len(index["v4"]) > 450
    assert set(index["aliases"].values()) <= set(drawings)
    assert not set(index["aliases"]) & set(drawings)
    for style, name in index["v4"].values():
        assert style in drawings[name]


def test_no_icon_is_named_like_a_modifier_or_a_style(pack_lines: list[Any]) -> None:
    index = pack_lines[0]
    names = {name for name, _ in pack_lines[1:]} | set(index["aliases"]) | set(index["v4"])
    assert not names & icons.MODIFIERS
    assert not {f"fa-{name}" for name in names} & set(icons.STYLE_CLASSES)


def test_the_pack_carries_no_time_and_is_sorted(pack_lines: list[Any]) -> None:
    assert icons.PACK.read_bytes()[3:8] == b"\x00" * 5  # gzip flags (no file name), then mtime
    names = [name for name, _ in pack_lines[1:]]
    assert names == sorted(set(names))


def test_the_notice_names_the_versions_in_the_pack(pack_lines: list[Any]) -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for version in pack_lines[0]["about"]["versions"].values():
        assert f"Font Awesome Free {version}" in notice
    assert "https://creativecommons.org/licenses/by/4.0/" in notice


# A pack that is missing or damaged


def small_pack(**icon: object) -> bytes:
    """The lines of a pack that holds a wrench, or what is given in its place."""
    wrench = icon or {"solid": [512, 512, "M0 0z"]}
    header = {"aliases": {"spanner": "wrench"}, "v4": {}}
    return f"{json.dumps(header)}\n".encode() + build_line("wrench", wrench)


def build_line(name: str, styles: object) -> bytes:
    return (json.dumps([name, styles], separators=(",", ":")) + "\n").encode()


def test_the_pack_is_not_read_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the pack was opened")

    monkeypatch.setattr(gzip, "open", refuse)
    module = runpy.run_path(icons.__file__, run_name="icons_imported_again")
    assert module["DEFAULT_SVG"] == DEFAULT_SVG


def test_an_icon_is_read_once_and_then_remembered(pack: Path) -> None:
    pack.write_bytes(gzip.compress(small_pack(), mtime=0))
    first = resolve_icon("fas fa-spanner")
    pack.unlink()
    assert first == Icon("wrench", "solid", 512, 512, "M0 0z")
    assert resolve_icon("fas fa-spanner fas") is first


def test_a_missing_pack_is_reported_once_and_leaves_the_default(
    pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert resolve_icon("fas fa-wrench") is None
    assert resolve_icon("fas fa-server") is None
    assert icon_svg(DEFAULT_ICON) == DEFAULT_SVG
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("backsoon", logging.WARNING)
    assert str(pack) in record.getMessage()
    assert "FileNotFoundError" in record.getMessage()


def test_the_default_icon_does_not_need_the_pack(
    pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert icon_svg("fa-solid fa-screwdriver-wrench fa-spin") == DEFAULT_SVG
    assert not pack.exists()
    assert caplog.records == []


def test_a_pack_that_comes_back_is_read_again(pack: Path) -> None:
    assert resolve_icon("fas fa-wrench") is None
    pack.write_bytes(gzip.compress(small_pack(), mtime=0))
    assert found("fas fa-wrench") == ("wrench", "solid")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip at all",
        gzip.compress(b"", mtime=0),
        gzip.compress(b"not json\n", mtime=0),
        gzip.compress(b"[]\n", mtime=0),
        gzip.compress(b'{"aliases": []}\n', mtime=0),
        gzip.compress(b"\xff\xfe\n", mtime=0),
        gzip.compress(small_pack(), mtime=0)[:-6],
        gzip.compress(small_pack(solid=[512, 512]), mtime=0),
        gzip.compress(small_pack(solid=[512, "wide", "M0 0z"]), mtime=0),
        gzip.compress(small_pack(solid=[512, 512, None]), mtime=0),
        gzip.compress(small_pack(solid=[512, 512, '"/><script>alert(1)</script>']), mtime=0),
        gzip.compress(small_pack()[:-4], mtime=0),
    ],
)
def test_a_damaged_pack_is_reported_and_gives_no_icon(
    pack: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    pack.write_bytes(content)
    assert icon_svg("fas fa-wrench") is None
    assert icon_svg(DEFAULT_ICON) == DEFAULT_SVG
    assert len(caplog.records) == 1


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damage_to_the_pack_raises(pack: Path, data: st.DataObject) -> None:
    content = bytearray(gzip.compress(small_pack(), mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    pack.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    icons._find.cache_clear()
    svg = icon_svg("fas fa-wrench")
    if svg is not None:
        assert_harmless(svg)


# The script that builds it


def svg_entry(path: str = "M0 0z", view_box: tuple[int, ...] = (0, 0, 8, 9)) -> dict[str, Any]:
    return {"viewBox": list(view_box), "width": 8, "height": 9, "path": path}


def family(*aliases: str, **styles: dict[str, Any]) -> dict[str, Any]:
    return {"svgs": {"classic": styles}, "aliases": {"names": list(aliases)}}


@pytest.fixture
def packages(tmp_path: Path) -> tuple[Path, Path]:
    """A tiny npm package (directory) and a tiny Python package (zip) in the true layouts."""
    npm = tmp_path / "npm" / "package"
    (npm / "metadata").mkdir(parents=True)
    (npm / "package.json").write_text('{"version": "7.9.9"}')
    newest = {"new": family("alias", solid=svg_entry("M1 1z"), regular=svg_entry())}
    (npm / "metadata" / "icon-families.json").write_text(json.dumps(newest))
    older = {
        "alias": family(solid=svg_entry("M2 2z")),
        "gone": family("lost", "alias", solid=svg_entry("M3 3z")),
    }
    shims = [["new-o", "far", "alias"], ["gone", None, None], [61440, "fas", "new"]]
    wheel = tmp_path / "fontawesomefree.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("fontawesomefree-6.0.0.dist-info/METADATA", "Name: x\nVersion: 6.0.0\n")
        archive.writestr("static/x/js-packages/y/metadata/icon-families.json", "{}")
        archive.writestr("static/x/metadata/icon-families.json", json.dumps(older))
        archive.writestr("static/x/metadata/shims.json", json.dumps(shims))
    return tmp_path / "npm", wheel


def test_a_built_pack_holds_the_newest_icons_and_the_dropped_ones(
    packages: tuple[Path, Path], pack: Path
) -> None:
    assert build_icons.main([*map(str, packages), f"--output={pack}"]) == 0
    lines = [json.loads(line) for line in gzip.decompress(pack.read_bytes()).splitlines()]
    assert lines[0]["aliases"] == {"alias": "new", "lost": "gone"}
    assert lines[0]["v4"] == {"gone": ["solid", "gone"], "new-o": ["regular", "new"]}
    assert lines[1:] == [
        ["gone", {"solid": [8, 9, "M3 3z"]}],
        ["new", {"regular": [8, 9, "M0 0z"], "solid": [8, 9, "M1 1z"]}],
    ]
    assert found("fa fa-new-o") == ("new", "regular")
    assert found("fas fa-lost") == ("gone", "solid")


def test_building_on_another_day_gives_the_same_bytes(
    packages: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []
    for now in (1_000_000_000.0, 2_000_000_000.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        output = tmp_path / f"{now}.gz"
        build_icons.main([*map(str, packages), f"--output={output}"])
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]


def test_check_writes_nothing_and_says_whether_the_pack_is_current(
    packages: tuple[Path, Path], pack: Path
) -> None:
    check = [*map(str, packages), f"--output={pack}", "--check"]
    assert build_icons.main(check) == 1
    assert not pack.exists()
    build_icons.main(check[:-1])
    assert build_icons.main(check) == 0
    pack.write_bytes(gzip.compress(b"{}\n", mtime=0))
    assert build_icons.main(check) == 1


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("evil", svg_entry('"/><script>')),
        ("two-paths", {**svg_entry(), "path": ["M0 0z", "M1 1z"]}),
        ("shifted", svg_entry(view_box=(5, 0, 8, 9))),
        ("Bad Name", svg_entry()),
    ],
)
def test_data_that_cannot_be_trusted_is_not_built(
    packages: tuple[Path, Path],
    pack: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    entry: dict[str, Any],
) -> None:
    metadata = packages[0] / "package" / "metadata" / "icon-families.json"
    metadata.write_text(json.dumps({name: family(solid=entry)}))
    assert build_icons.main([*map(str, packages), f"--output={pack}"]) == 2
    assert not pack.exists()
    assert name in capsys.readouterr().err
