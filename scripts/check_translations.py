"""Checks that translations are whole, or with `--write` brings them up to date.

    python scripts/check_translations.py [--write] APP...

Each APP is a directory with a `locale` folder. For every catalogue in it (`django.po`, and
`djangojs.po` where there is one) this must hold:

* it contains the texts that the sources contain now, no more and no fewer;
* nothing in it is fuzzy or untranslated;
* the `.mo` next to it is what `msgfmt` makes of it (compared as messages, not as bytes).

Exit code 0 when all of it holds, 1 otherwise. Needs GNU gettext. Where that is missing the check is
left out, which is said; with CI=true it is an error.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOOLS = ("xgettext", "msgfmt", "msgunfmt", "msgattrib", "msgmerge", "msguniq")
DOMAINS = ("django", "djangojs")


class Text(NamedTuple):
    """What makes a message unique in a catalogue."""

    context: str
    singular: str
    plural: str

    def __str__(self) -> str:
        line = " ".join(self.singular.split())
        shown = line if len(line) <= 70 else f"{line[:69]}…"
        return f"“{shown}”" + (f" ({self.context})" if self.context else "")


def main() -> int:
    """Read the command line, do the one thing or the other, and return the exit code."""
    parser = argparse.ArgumentParser(description="Check translations, or bring them up to date.")
    parser.add_argument("--write", action="store_true", help="update the .po and .mo files instead")
    parser.add_argument("apps", nargs="+", type=Path, metavar="APP")
    arguments = parser.parse_args()

    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"Translations were not looked at: {', '.join(missing)} not found.", file=sys.stderr)
        print("To have them: sudo apt-get install gettext", file=sys.stderr)
        return 1 if arguments.write or os.environ.get("CI") == "true" else 0

    if arguments.write:
        for app in arguments.apps:
            write(app)
        return 0

    problems = [problem for app in arguments.apps for problem in check(app)]
    for problem in problems:
        print(problem)
    if problems:
        print("To mend: make messages, then translate what it left empty.", file=sys.stderr)
    return 1 if problems else 0


def write(app: Path) -> None:
    """Gather the texts of `app` into its catalogues and compile them."""
    # makemessages takes the languages from the folders that exist; French is the first.
    (app / "locale" / "fr" / "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
    gather(app)
    for catalogue in catalogues(app):
        run("msgfmt", "--check", "--output-file", catalogue.with_suffix(".mo"), catalogue)
        print(f"{catalogue}: {statistics(catalogue)}")


def check(app: Path) -> Iterator[str]:
    """The problems of one app, each a line for a person."""
    found = list(catalogues(app))
    if not found:
        yield f"{app}: there is no catalogue in {app / 'locale'}."
        return
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / app.name
        shutil.copytree(app, fresh, ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
        gather(fresh)
        for catalogue in found:
            yield from compare(catalogue, fresh / catalogue.relative_to(app))
    for catalogue in found:
        yield from incomplete(catalogue)
        yield from stale(catalogue)


def compare(catalogue: Path, fresh: Path) -> Iterator[str]:
    """Texts of the sources that the catalogue lacks, and the reverse."""
    kept, wanted = set(texts(catalogue)), set(texts(fresh))
    for text in sorted(wanted - kept):
        yield f"{catalogue}: lacks {text}"
    for text in sorted(kept - wanted):
        yield f"{catalogue}: {text} is no longer in the sources"


def incomplete(catalogue: Path) -> Iterator[str]:
    """Messages without a translation that may be shown."""
    for kind, option in (("untranslated", "--untranslated"), ("fuzzy", "--only-fuzzy")):
        for text in texts(catalogue, option):
            yield f"{catalogue}: {kind}: {text}"


def stale(catalogue: Path) -> Iterator[str]:
    """A compiled file that is missing or says something else than its source."""
    compiled = catalogue.with_suffix(".mo")
    if not compiled.exists():
        yield f"{compiled}: missing"
        return
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / compiled.name
        run("msgfmt", "--check", "--output-file", fresh, catalogue)
        if messages(compiled) != messages(fresh):
            yield f"{compiled}: is not what msgfmt makes of {catalogue.name} now"


def catalogues(app: Path) -> list[Path]:
    """The .po files of an app, in a fixed order."""
    return sorted(path for path in app.glob("locale/*/LC_MESSAGES/*.po") if path.stem in DOMAINS)


def gather(app: Path) -> None:
    """Run makemessages inside `app`, for each domain it has catalogues of."""
    domains = {"django"} | {catalogue.stem for catalogue in catalogues(app)}
    for domain in sorted(domains):
        # Without settings: the texts of an app do not depend on the site it is installed in.
        environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        run(
            *(sys.executable, "-m", "django", "makemessages", "--all", "--domain", domain),
            *("--add-location", "file"),
            cwd=app,
            env=environment,
        )


def texts(catalogue: Path, *options: str) -> Iterator[Text]:
    """The current messages of a .po file that msgattrib selects with `options`."""
    listing = run("msgattrib", "--no-obsolete", "--no-location", "--no-wrap", *options, catalogue)
    fields: dict[str, str] = {}
    keyword = ""
    for line in [*listing.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line:
            if fields.get("msgid"):  # the header has an empty one
                yield Text(
                    fields.get("msgctxt", ""), fields["msgid"], fields.get("msgid_plural", "")
                )
            fields = {}
        elif line.startswith('"'):
            fields[keyword] += ast.literal_eval(line)
        else:
            keyword, _, quoted = line.partition(" ")
            fields[keyword] = ast.literal_eval(quoted)


def messages(compiled: Path) -> list[str]:
    """The content of a .mo file as text, without the dates in its header."""
    return [
        line
        for line in run("msgunfmt", "--no-wrap", compiled).splitlines()
        if not line.startswith(('"POT-Creation-Date:', '"PO-Revision-Date:'))
    ]


def statistics(catalogue: Path) -> str:
    """The sentence of msgfmt itself, such as "12 translated messages"."""
    return run("msgfmt", "--statistics", "--output-file", os.devnull, catalogue).strip()


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a tool prints; when it fails, its words and the end of this program."""
    environment = {**(env or os.environ), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{Path(str(command[0])).name} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
