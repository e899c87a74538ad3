"""What comes out of a container as a node's data, and what never does."""

from __future__ import annotations

import tarfile

import pytest
from brokerlab.runtimes import containers


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [
        ("data", tarfile.DIRTYPE, True),
        ("data/photos-0/00000000000000000000.log", tarfile.REGTYPE, True),
        ("../elsewhere", tarfile.REGTYPE, False),
        ("data/../../elsewhere", tarfile.REGTYPE, False),
        ("/etc/passwd", tarfile.REGTYPE, False),
        ("data/link", tarfile.SYMTYPE, False),
        ("data/link", tarfile.LNKTYPE, False),
        ("data/pipe", tarfile.FIFOTYPE, False),
    ],
)
def test_only_plain_files_and_folders_inside(name: str, kind: bytes, kept: bool) -> None:
    member = tarfile.TarInfo(name)
    member.type = kind
    assert containers._is_data(member) is kept
