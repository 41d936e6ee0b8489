"""Moving Motoko's files of a run into their folder, from where earlier versions wrote them.

Only files that such a version has written are moved, not others of the same names. If the process
is killed meanwhile, the files are where they were, or in both places. Files that close a submission
stay: the jobs that look for them are of the earlier version.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from motoko.config.run_files import OWN_FOLDER
from motoko.runs.paths import CLAIM, EARLIER_ENVIRONMENT, EARLIER_EXIT, EXIT, own_folder

# How the files begin, by their names: claims with the boot, or with the job that has started the
# attempt; exit records with the attempt. An empty claim is a claim, too.
_CONTENTS = {
    rf"{CLAIM}\d+": r"$|[0-9a-f-]{36}\n|batch |copied\n|\{\"attempt\": \d",
    rf"({re.escape(EARLIER_EXIT)}|{EXIT}\d+\.json)(\.new)?": r"\{\"attempt\": \d",
}
_SIZE_MAX = 4096


def make_own_folder(directory: Path) -> bool:
    """Make a run's directory and Motoko's folder in it, and move Motoko's files there.

    Returns whether the directory is new. The run must not be executed meanwhile. Raises
    ``OSError``.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(parents=True)
        (directory / OWN_FOLDER).mkdir()
        return True
    if own_folder(directory) != directory:
        return False
    folder = directory / OWN_FOLDER
    earlier = [path for path in directory.iterdir() if _is_own(path)]
    new = directory / f"{OWN_FOLDER}.new" if earlier and not folder.exists() else folder
    new.mkdir(exist_ok=True)
    for path in earlier:
        shutil.copy2(path, new)  # with the file's time, which tells when an attempt began
    # From the renaming on, Motoko looks for its files in the folder.
    if new != folder:
        new.rename(folder)
    (directory / EARLIER_ENVIRONMENT).unlink(missing_ok=True)
    for path in earlier:
        path.unlink()
    return False


def _is_own(path: Path) -> bool:
    """Whether a file of a run directory is one of Motoko's, by its name and content."""
    begins = next((b for name, b in _CONTENTS.items() if re.fullmatch(name, path.name)), None)
    if begins is None or not path.is_file() or path.stat().st_size > _SIZE_MAX:
        return False
    return re.match(begins, path.read_text(errors="replace")) is not None
