import pytest

from tachograph import notices
from tachograph.scrape import app


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    notices.forget()


@pytest.fixture(autouse=True)
def _reader_in_force():
    before = app.in_force()
    app.install(None)
    yield
    app.install(before)
