"""The GitLab releases that the stand-in can be."""

from __future__ import annotations

from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    name: str
    version: Version
    text: str

    def since(self, *version: int) -> bool:
        """Whether this release has what came with `version`."""
        return self.version >= version

    def between(self, first: Version, until: Version | None) -> bool:
        """Whether this release lies in first <= release < until."""
        return self.version >= first and (until is None or self.version < until)


# The releases lie where formats differ: 17.8 still registers with "t1_" tokens (from 17.5), 18.5 gives routable
# tokens but has none of the token times of 18.10 (EE), which "newest" has.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("8.5", (8, 5, 0), "8.5.0"),
        Profile("13", (13, 12, 15), "13.12.15"),
        Profile("15", (15, 11, 13), "15.11.13"),
        Profile("16", (16, 11, 10), "16.11.10"),
        Profile("17", (17, 8, 7), "17.8.7"),
        Profile("18", (18, 5, 2), "18.5.2"),
        Profile("newest", (19, 4, 0), "19.4.0-ee"),
    )
}
