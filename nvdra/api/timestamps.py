"""Kubernetes' two spellings of a time. Pure: the time itself is given."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """metav1.Time: `2026-11-25T18:21:40Z` from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(seconds: float) -> str:
    """metav1.MicroTime: `2026-11-25T18:21:40.123456Z` from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
