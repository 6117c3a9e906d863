"""The documentation says what the code does: names, defaults, options, links, examples."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.dispatch import Signal
from django.test import override_settings
from django.utils import translation

import backsoon
from backsoon import checks, conf, exceptions, services, signals, testing
from backsoon.core.decision import RULES, Admit, Refuse
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import State
from backsoon.definitions import BY_KEY
from backsoon.gate import View
from backsoon.http import pages, publications
from backsoon.management.commands.maintenance import SUB_COMMANDS, Command
from backsoon.management.maintenance import examinations, words
from backsoon.management.maintenance.console import ExitCode
from backsoon.models import SettingType
from backsoon.snapshots import Snapshot
from backsoon.store import utc_now
from tests import settings as test_settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEMPLATES = ROOT / "src" / "backsoon" / "templates" / "backsoon"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])

FENCE = re.compile(r"^( *)```+(\S*)\n(.*?)^\1```+$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


# -- Reading the pages --------------------------------------------------------------------------


@cache
def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """*text* without its blocks of code."""
    return FENCE.sub("", text)


def named_sections(text: str, level: int = 2) -> dict[str, str]:
    """The sections whose heading is one word of code, by that word."""
    marks = "#" * level
    parts = re.split(rf"^{marks} `([^`]+)`$", text, flags=re.MULTILINE)
    stop = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE)
    return {name: stop.split(body)[0] for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def section(text: str, heading: str) -> str:
    """What stands below *heading*, up to the next heading of its level or a higher one."""
    level = len(heading) - len(heading.lstrip("#"))
    start = re.search(rf"^{re.escape(heading)}$", text, re.MULTILINE)
    assert start, f"there is no heading {heading!r}"
    rest = text[start.end() :]
    return re.split(rf"^#{{1,{level}}} ", rest, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in *text*, their heads left out."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("| ---")
        if line.startswith("|") and not line.startswith("| ---") and not is_head:
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def first_words(text: str) -> list[str]:
    """The code in the first cell of each row, without what follows a name (``--until WHEN``)."""
    return [word.split(" ")[0] for row in rows(text) for word in CODE.findall(row[0])]


def blocks(path: Path, *languages: str) -> Iterator[str]:
    """The blocks of code in one of *languages*, without their indentation."""
    for match in FENCE.finditer(path.read_text(encoding="utf-8")):
        indent, language, code = match.groups()
        if language in languages:
            yield re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The names by which headings can be linked to: as code hosts make them, and as Sphinx does."""
    found = set()
    for _marks, heading in HEADING.findall(prose(path.read_text(encoding="utf-8"))):
        title = heading.replace("`", "").strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
        found.add(re.sub(r"[^a-z0-9]+", "-", title).strip("-"))
    return found


# -- Settings -----------------------------------------------------------------------------------


def test_every_key_of_the_settings_is_documented_and_no_other() -> None:
    assert set(named_sections(read("reference/settings.md"))) == set(conf.PARSERS)


@pytest.mark.parametrize("key", sorted(conf.PARSERS))
def test_the_documented_default_of_a_setting_is_the_true_one(key: str) -> None:
    text = named_sections(read("reference/settings.md"))[key]
    stated = re.search(r"Default: `([^`]+)`", text)
    assert stated, f"{key} has no line with its default"
    default = getattr(conf.Settings(), key.lower())
    expected = list(default) if isinstance(default, tuple) else default
    assert ast.literal_eval(stated[1]) == expected


def test_every_stored_setting_is_documented_and_no_other() -> None:
    assert set(named_sections(read("reference/stored-settings.md"))) == set(BY_KEY)


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_type_default_and_length_of_a_stored_setting_are_the_true_ones(key: str) -> None:
    text = " ".join(named_sections(read("reference/stored-settings.md"))[key].split())
    definition = BY_KEY[key]
    assert f"Type: `{definition.setting_type}`" in text
    assert (definition.default or "Default: empty.") in text
    assert ("for each language" in text) == definition.translatable
    lengths = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) characters", text)]
    assert lengths in ([], [definition.max_length])


def test_every_type_of_setting_is_named() -> None:
    row = next(
        row for row in rows(read("reference/stored-settings.md")) if row[0] == "`setting_type`"
    )
    assert CODE.findall(row[1]) == SettingType.values


def test_examples_of_settings_are_accepted() -> None:
    examples = list(_examples_of_settings())
    assert len(examples) > 3
    for example in examples:
        # These name things that only the reader's project has.
        elsewhere = ("GET_USER", "DATABASE", "AUDIENCE", "APPRISE")
        usable = {key: value for key, value in example.items() if key not in elsewhere}
        assert set(example) <= set(conf.PARSERS)
        with override_settings(BACKSOON=usable):
            assert conf.problems() == ()


def _examples_of_settings() -> Iterator[dict[str, Any]]:
    for path in PAGES:
        for code in blocks(path, "python"):
            for statement in ast.parse(code).body:
                if isinstance(statement, ast.Assign) and ast.unparse(statement).startswith(
                    "BACKSOON ="
                ):
                    yield ast.literal_eval(statement.value)
        for line in re.findall(r"`BACKSOON = (\{[^`…]+\})`", path.read_text(encoding="utf-8")):
            yield ast.literal_eval(line)


# -- Checks, signals, rules ---------------------------------------------------------------------


def test_every_check_is_documented_and_no_other() -> None:
    documented = re.findall(r"^## (backsoon\.\w+)$", read("reference/checks.md"), re.MULTILINE)
    assert sorted(documented) == sorted(f"backsoon.{number}" for number in checks.SUMMARIES)


def test_every_check_that_the_code_can_give_has_a_summary() -> None:
    source = inspect.getsource(checks)
    given = set(re.findall(r'"([EW]\d{3})",? *(?!:)', source.partition("Found = ")[2]))
    assert given == set(checks.SUMMARIES)


@pytest.mark.parametrize("number", sorted(checks.SUMMARIES))
def test_a_check_is_described_as_the_code_does(number: str) -> None:
    text = section(read("reference/checks.md"), f"## backsoon.{number}").strip()
    summary, _blank, advice = text.partition("\n\n")
    assert summary == checks.SUMMARIES[number]
    assert advice.strip()


def test_the_hints_of_checks_lead_to_the_reference() -> None:
    page = ROOT / checks.DOCS
    assert {f"backsoon-{number.lower()}" for number in checks.SUMMARIES} <= anchors(page)


def test_every_signal_is_documented_and_no_other() -> None:
    sent = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert set(named_sections(read("reference/signals.md"))) == sent


def test_the_table_of_rules_is_the_one_that_decides() -> None:
    documented = [
        (CODE.findall(reason)[0], summary, answer)
        for reason, summary, answer in rows(read("reference/rules.md").partition("\n## ")[0])
    ]
    refusing = {"ordinary", "stranger"}
    assert documented == [
        (
            rule.reason.value,
            rule.summary,
            "refused" if rule.reason.value in refusing else "admitted",
        )
        for rule in RULES
    ]
    assert Refuse(RULES[-1].reason).admitted is False
    assert Admit(RULES[0].reason).admitted is True


# -- Commands -----------------------------------------------------------------------------------


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each sub-command of ``maintenance``."""
    parser = Command().create_parser("manage.py", "maintenance")
    places = next(
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(places.choices)


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a sub-command takes of its own; Django's common options are hidden there."""
    return [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS and "--help" not in action.option_strings
    ]


def test_every_sub_command_is_documented_and_no_other() -> None:
    documented = {
        name.removeprefix("maintenance ")
        for name in named_sections(read("reference/commands.md"), level=3)
    }
    assert documented == set(SUB_COMMANDS)


@pytest.mark.parametrize("name", sorted(SUB_COMMANDS))
def test_every_option_of_a_sub_command_is_documented_and_no_other(name: str) -> None:
    text = section(read("reference/commands.md"), f"### `maintenance {name}`")
    table = text.partition("| Finding |")[0]
    taken = [
        option
        for action in arguments(parsers()[name])
        for option in action.option_strings or [str(action.metavar)]
    ]
    assert sorted(first_words(table)) == sorted(taken)


@pytest.mark.parametrize("name", sorted(SUB_COMMANDS))
def test_the_choices_of_an_option_are_the_true_ones(name: str) -> None:
    text = section(read("reference/commands.md"), f"### `maintenance {name}`")
    described = {CODE.findall(row[0])[0].split(" ")[0]: row[1] for row in rows(text)}
    for action in arguments(parsers()[name]):
        if action.choices:
            words_used = CODE.findall(described[action.option_strings[0]])
            assert sorted(words_used) == sorted(action.choices)


def test_every_exit_code_is_documented_and_no_other() -> None:
    documented = [
        int(row[0]) for row in rows(section(read("reference/commands.md"), "## Exit codes"))
    ]
    assert documented == sorted(ExitCode)


def test_the_state_as_json_is_documented() -> None:
    snapshot = Snapshot()
    state = resolve_state(snapshot.policy, (), utc_now())
    text = section(read("reference/commands.md"), "## The state as JSON")
    assert sorted(all_words(text)) == sorted(words.state_data(state, snapshot.mark))


def all_words(text: str) -> list[str]:
    """All code in the first cells of the tables."""
    return [word for row in rows(text) for word in CODE.findall(row[0])]


def test_every_finding_of_the_doctor_is_documented_and_no_other() -> None:
    source = inspect.getsource(examinations)
    given = set(re.findall(r'yield (?:problem|note)\(\s*"(\w+)"', source)) | {"database"}
    text = section(read("reference/commands.md"), "### `maintenance doctor`")
    assert set(all_words(text.partition("| Finding |")[2].partition("\n")[2])) == given


def test_every_command_line_in_the_documentation_is_understood() -> None:
    lines = list(_command_lines())
    assert len(lines) > 10
    parser = Command().create_parser("manage.py", "maintenance")
    for line in lines:
        parser.parse_args(shlex.split(line, comments=True))


def _command_lines() -> Iterator[str]:
    for path in PAGES:
        for code in blocks(path, "bash", "console"):
            for line in code.splitlines():
                found = re.search(r"manage\.py maintenance (.+)", line)
                if found and "|" not in found[1]:
                    yield found[1]
        for line in re.findall(r"`(?:python )?manage\.py maintenance ([^`]+)`", path.read_text()):
            if not line.startswith("explain") or "/" in line:  # spoken of, not to be typed
                yield line


# -- HTTP, template, Python ---------------------------------------------------------------------


def test_the_fields_of_status_json_are_documented() -> None:
    snapshot = Snapshot()
    state: State = resolve_state(snapshot.policy, (), utc_now())
    fields = publications.status(View(snapshot, state, 0), "en")
    text = section(read("reference/http.md"), "## `status.json`")
    assert all_words(text) == list(fields)


def test_every_block_of_the_page_is_documented_and_no_other() -> None:
    source = (TEMPLATES / "maintenance.html").read_text(encoding="utf-8")
    named = re.findall(r"{% block (\w+) %}", source)
    assert sorted(all_words(section(read("reference/template.md"), "## Blocks"))) == sorted(named)


def test_everything_that_the_page_gets_is_documented_and_nothing_else() -> None:
    snapshot = Snapshot()
    state = resolve_state(snapshot.policy, (), utc_now())
    with translation.override("en"):
        context = pages.page_context(snapshot, state, "en")
    assert sorted(all_words(section(read("reference/template.md"), "## Context"))) == sorted(
        context
    )


def test_every_css_property_is_documented_and_no_other() -> None:
    style = (TEMPLATES / "_page.css").read_text(encoding="utf-8")
    style = style.partition("{% endcomment %}")[2]
    named = set(re.findall(r"(--backsoon-[\w-]+):", style))
    assert set(all_words(section(read("reference/template.md"), "## CSS properties"))) == named


@pytest.mark.parametrize(
    "verb",
    [
        "close_site",
        "open_site",
        "schedule",
        "reschedule",
        "cancel",
        "maintenance",
        "save_settings",
        "init_defaults",
    ],
)
def test_every_argument_of_a_service_is_documented(verb: str) -> None:
    text = named_sections(read("reference/python.md"), level=3)[verb]
    taken = set(inspect.signature(getattr(services, verb)).parameters)
    assert taken <= set(CODE.findall(prose(text)))


def test_every_argument_of_override_maintenance_is_documented_and_no_other() -> None:
    text = section(read("reference/python.md"), "## `backsoon.testing`")
    taken = inspect.signature(testing.override_maintenance).parameters
    assert sorted(all_words(text)) == sorted(taken)


def test_every_exception_is_documented_and_no_other() -> None:
    raised = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, exceptions.BacksoonError)
    }
    text = section(read("reference/python.md"), "## `backsoon.exceptions`")
    assert set(all_words(text)) == raised


# -- Examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_the_documentation_compiles(path: Path) -> None:
    for code in blocks(path, "python"):
        ast.parse(code)


def is_package(module: ModuleType) -> bool:
    return hasattr(module, "__path__")


def test_what_the_documentation_imports_from_backsoon_is_there() -> None:
    imported = 0
    for path in PAGES:
        for code in blocks(path, "python"):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backsoon"):
                    module = import_module(node.module or "")
                    for name in node.names:
                        inner = (
                            find_spec(f"{node.module}.{name.name}") if is_package(module) else None
                        )
                        there = hasattr(module, name.name) or inner is not None
                        assert there, f"{path.name}: {node.module}.{name.name}"
                        imported += 1
    assert imported > 10


@pytest.mark.parametrize(("example", "shows"), [(0, "+1 555 0100"), (1, "<!doctype html>")])
def test_the_examples_of_changing_the_page_work(tmp_path: Path, example: int, shows: str) -> None:
    source = list(blocks(DOCS / "how-to" / "change-the-page.md", "html+django"))[example]
    template = tmp_path / "backsoon" / "maintenance.html"
    template.parent.mkdir()
    template.write_text(source, encoding="utf-8")
    engine = {**test_settings.TEMPLATES[0], "DIRS": [tmp_path]}
    snapshot = Snapshot()
    state = resolve_state(snapshot.policy, (), utc_now())
    with override_settings(TEMPLATES=[engine]):
        assert pages.template_error("en") == ""
        html = pages.render(snapshot, state, "fr")
    assert shows in html
    assert "Nous revenons très vite" in html or "We will be back soon" in html
    if example == 0:
        assert "--backsoon-accent: #0b4f8a" in html
        assert html.index("--backsoon-accent: #0b4f8a") > html.index("--backsoon-accent: #1b4b3d")


# -- Links, features, versions ------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = prose(path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _hash, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = {
        line.strip()
        for toctree in re.findall(r"```{toctree}\n(.*?)```", read("index.md"), re.DOTALL)
        for line in toctree.splitlines()
        if line.strip() and not line.startswith(":")
    }
    written = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}
    assert listed == written - {"index"}


FEATURES = [row for row in rows(read("features.md")) if len(row) == 4]


def test_every_feature_has_a_place_and_a_test() -> None:
    assert len(FEATURES) > 60
    for lines, feature, where, proof in FEATURES:
        assert lines, f"{feature}: from which line?"
        assert where, f"{feature}: where is it?"
        assert re.search(r"`[\w/]+\.py::\w+", proof), f"{feature}: what proves it?"


def test_every_test_that_the_features_name_exists() -> None:
    for _lines, feature, _where, proof in FEATURES:
        for node in CODE.findall(proof):
            file, _colons, name = node.partition("::")
            assert (ROOT / file).is_file(), f"{feature}: there is no {file}"
            assert name in _tests_in(ROOT / file), f"{feature}: {file} has no {name}"


@cache
def _tests_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file, those of classes as ``Class::test``."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}::{each.name}"
                for each in node.body
                if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return frozenset(names)


def test_every_place_that_the_features_name_exists() -> None:
    for _lines, feature, where, _proof in FEATURES:
        for name in CODE.findall(where):
            if name.endswith((".py", ".html", ".css", ".js", ".md")):
                assert (ROOT / name).is_file(), f"{feature}: there is no {name}"


def test_the_changelog_and_the_version_agree() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [backsoon.__version__])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    source = (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert f'__version__ = "{backsoon.__version__}"' in source
