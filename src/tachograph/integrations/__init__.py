"""Third-party frameworks, one a file: what upstream's instrumentations leave out."""
