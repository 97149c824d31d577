"""What a strategy raises that cannot keep what it promised."""

from __future__ import annotations


class Abandoned(Exception):
    """The next strategy takes over; the text tells the user why the search went another way."""
