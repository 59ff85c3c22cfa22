"""The reference application: an SRE agent that reacts to failing CI jobs, as an API and a Celery worker."""
