"""Settings of the Django application in `pages`."""

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "pages"
MIDDLEWARE: list[str] = []
USE_TZ = True
