"""Where versions before have written Motoko's files of a run: from there into their folder.

Only files that such a version has written are moved, whatever else has their names. Somebody who is
killed in the midst of it leaves them where they were, or twice. What closes a submission stays: the
jobs that look for it are such a version's.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from motoko.config.run_files import OWN_FOLDER
from motoko.runs.paths import CLAIM, EARLIER_ENVIRONMENT, EARLIER_EXIT, EXIT, own_folder

# By their names, how they begin: claims with the boot or with the job that has started it, records
# of ends with the attempt. An empty claim is one, too.
_CONTENTS = {
    rf"{CLAIM}\d+": r"$|[0-9a-f-]{36}\n|batch |copied\n|\{\"attempt\": \d",
    rf"({re.escape(EARLIER_EXIT)}|{EXIT}\d+\.json)(\.new)?": r"\{\"attempt\": \d",
}
_SIZE_MAX = 4096


def make_own_folder(directory: Path) -> None:
    """Make a run's directory and Motoko's folder in it, with what is Motoko's there.

    Nothing of the run may be executed meanwhile. Raises ``OSError``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if own_folder(directory) != directory:
        return
    folder = directory / OWN_FOLDER
    earlier = [path for path in directory.iterdir() if _is_own(path)]
    new = directory / f"{OWN_FOLDER}.new" if earlier and not folder.exists() else folder
    new.mkdir(exist_ok=True)
    for path in earlier:
        shutil.copy2(path, new)  # with its time, which tells when an attempt began
    # From here on its files are looked for in the folder.
    if new != folder:
        new.rename(folder)
    (directory / EARLIER_ENVIRONMENT).unlink(missing_ok=True)
    for path in earlier:
        path.unlink()


def _is_own(path: Path) -> bool:
    """Whether a file of a run directory is one of Motoko's, by its name and content."""
    begins = next((b for name, b in _CONTENTS.items() if re.fullmatch(name, path.name)), None)
    if begins is None or not path.is_file() or path.stat().st_size > _SIZE_MAX:
        return False
    return re.match(begins, path.read_text(errors="replace")) is not None
