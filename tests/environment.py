"""A pytest plugin (`-p tests.environment`): settings for tests, whatever the machine's `.env` says.

pytest-django reads the settings before any conftest.py is imported, so these must be there earlier.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_DATA = Path(tempfile.mkdtemp(prefix="cordboard-tests-"))
os.environ.update(
    SECRET_KEY="tests-only",
    FIELD_ENCRYPTION_KEYS="S3bTSVBXhtjLBpVDZrIEh9Dzxc7b8ZqWCv1jTJd1sLg=",
    PUBLIC_URL="http://testserver",
    DATA_DIR=str(_DATA),
    STATICFILES_BACKEND="django.contrib.staticfiles.storage.StaticFilesStorage",
    DEBUG="0",
)
os.environ.pop("DATABASE_URL", None)
(_DATA / "static").mkdir()  # whitenoise warns of a folder that is not there, and warnings are errors


def pytest_unconfigure() -> None:
    import shutil

    shutil.rmtree(_DATA, ignore_errors=True)
