"""The archive of task items that travels with the repository, made once from the source distribution of BIG-bench.

The distribution has 358 MB, and pip would run its code to fetch it, so the few files that are read are kept in git:

    pip download bigbench==1.0.0 --no-deps --no-binary :all:
    python -m tessera.data.task_archive --sdist bigbench-1.0.0.tar.gz --archive data/tasks/bigbench.zip
"""

import tarfile
import zipfile
from pathlib import Path

from tessera.common import files, stage
from tessera.data import packages
from tessera.data.items import SETS

SDIST = "bigbench-1.0.0.tar.gz"
SHA256 = "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2"
ROOT = "bigbench-1.0.0/"
NOTICE = f"""Items of BIG-bench (https://github.com/google/BIG-bench), unchanged, from {SDIST}
of the Python Package Index, sha256 {SHA256}.

Copyright the BIG-bench authors. Licensed under the Apache License, Version 2.0
(http://www.apache.org/licenses/LICENSE-2.0).

Never train on these files. Each holds the canary string by which corpora can be searched for them.
"""


def main(sdist: Path, archive: Path) -> None:
    """Write the members of SETS that BIG-bench has, and a notice, always as the same bytes.

    Raises ValueError where the distribution is another one than pinned here.
    """
    found = packages.sha256(sdist)
    if found != SHA256:
        raise ValueError(f"{sdist}: sha256 is {found}; valid is {SHA256}, of {SDIST}")
    wanted = sorted({one.member for one in SETS.values() if one.source == "bigbench"})
    contents = {"NOTICE": NOTICE.encode()}
    with tarfile.open(sdist, "r:gz") as opened:
        for member in opened:
            name = member.name.removeprefix(ROOT)
            if name in wanted and (file := opened.extractfile(member)):
                contents[name] = file.read()
    if missing := [name for name in wanted if name not in contents]:
        raise ValueError(f"{sdist}: has no {', '.join(missing)}")
    write(archive, contents)


def write(archive: Path, contents: dict[str, bytes]) -> None:
    """Write a ZIP file without dates, members by name."""
    with files.replacing(archive) as hidden, zipfile.ZipFile(hidden, "w") as made:
        for name, content in sorted(contents.items()):
            info = zipfile.ZipInfo(name)  # of 1980, whatever the clock says
            made.writestr(info, content, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    stage.run(main)
