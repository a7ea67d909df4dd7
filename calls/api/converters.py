"""What the variable parts of API paths look like: SIDs by their two letters, file name extensions of recordings."""

from __future__ import annotations


class _Sid:
    """A SID as it stands in a path."""

    regex: str

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class AccountSid(_Sid):
    regex = "AC[0-9a-fA-F]{32}"


class RecordingSid(_Sid):
    regex = "RE[0-9a-fA-F]{32}"


class AudioExtension(_Sid):
    regex = "wav|mp3"


CONVERTERS: dict[str, type[_Sid]] = {"AC": AccountSid, "RE": RecordingSid, "audio": AudioExtension}
