"""What users see is looked up: generated pages are current, links lead somewhere, and the README is what CI runs."""

import importlib.util
import re
from pathlib import Path

import pytest

import tachograph
from tachograph import catalogue, errors
from tachograph.settings import declarations

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def load_generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("file", sorted(GENERATOR.PAGES))
def test_generated_page_is_current(file):
    """
    A page made from declarations is what the declarations say: `python docs/generate.py` writes it.
    """
    assert (ROOT / "docs" / "reference" / file).read_text() == GENERATOR.PAGES[file]()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    """
    A link to a file of the repository finds it.
    """
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]

    assert [link for link in targets if not (page.parent / link).exists()] == []


def test_every_setting_instrument_and_error_is_documented():
    """
    Nothing that users meet is missing from the reference.
    """
    text = "\n".join(page.read_text() for page in PAGES)
    wanted = [
        *(each.metadata["variable"] for each in declarations()),
        *(each.name for each in catalogue.INSTRUMENTS),
        *(name for name in vars(errors) if isinstance(getattr(errors, name), type)),
        *(name for name in tachograph.__all__ if not name.startswith("_")),
    ]

    assert [name for name in wanted if name not in text] == []


def test_ci_runs_the_readmes_test_command():
    """
    The command that the README gives for the tests is the one that decides.
    """
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)

    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_top_level_names_are_sorted_and_exist():
    """
    `tachograph.__all__` is sorted, and every name in it can be imported.
    """
    assert list(tachograph.__all__) == sorted(tachograph.__all__)
    assert all(hasattr(tachograph, name) for name in tachograph.__all__)
