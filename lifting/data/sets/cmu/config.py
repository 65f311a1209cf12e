"""Options of the data set ``cmu``, and what it is in words. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.describe import About
from lifting.data.sets import filmed
from lifting.data.splits import CMU_PUBLIC_SPLIT

SUMMARY = "CMU motion capture, 17 joints, seen by virtual cameras (free for all uses)"


@dataclass
class Config:
    """Options of CMU motion capture; the file records its split.

    Attributes:
        val_actions: Actions of the training recordings that validate and never train, in the place
            of the file's own validation part, which then trains. How well motion of a new kind is
            lifted chooses better than that part does, which in the distributed file holds the
            walks of one person.
    """

    val_actions: tuple[str, ...] = ()


uses = filmed

FILE_NAME = "cmu_h36m17.npz"
CREDIT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created "
    "with funding from NSF EIA-0196217."
)
ABOUT = About(
    files=((FILE_NAME,),),
    page="http://mocap.cs.cmu.edu",
    facts=(
        ("content", "167 sequences, 65617 frames at 50 Hz, 17 joints, mm, world frame, z up"),
        ("size", "4.7 MB"),
        ("split", "by subject; a file records its own split, no subject is in two parts"),
        ("keypoints", "none recorded: virtual cameras film the motion (data.cameras, "
                      "data.noise)"),
        ("make your own", "`lifting data fetch cmu` gets recordings from their source, "
                          "`lifting data prepare cmu --source DIR` converts SS_TT.amc with "
                          "SS.asf, or SS_TT.bvh (--map FILE says which of their names are the "
                          "joints, where they are unknown); actions and frame rates from "
                          "recordings.csv in DIR"),
        (f"split of your own ({CMU_PUBLIC_SPLIT.name})",
         f"val {', '.join(map(str, sorted(CMU_PUBLIC_SPLIT.val)))}; "
         f"test {', '.join(map(str, sorted(CMU_PUBLIC_SPLIT.test)))}; train the rest"),
        ("terms", "free for all uses, mocap.cs.cmu.edu"),
        ("credit", CREDIT),
    ),
)  # fmt: skip
