"""The Python client of Deskraft and its command line, built on the public API alone."""
