"""What each data set is: content, files, split, terms, and where its owners give it away.

Imports no torch, so that the commands that only talk answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifting.data.cmu_file import CREDIT, FILE_NAME
from lifting.data.config import DATASETS, AmassConfig, SyntheticConfig
from lifting.data.files import VARIABLE, search_folders
from lifting.data.images.config import ImagesConfig
from lifting.data.splits import CMU_PUBLIC_SPLIT
from lifting.errors import ConfigError, suggest

Fact = tuple[str, str]

MAKES_ITSELF = "nothing: it is made when it is used, from the seed"
READ_AS_IS = (
    "nothing: the files are read as they are, and what is derived from them is kept in the cache"
)
NEVER = (
    "this project contains, mirrors or uploads nothing of it, nor what is derived from it "
    "(keypoints, conversions, rendered ground truth); tables of scores are fine"
)


@dataclass(frozen=True)
class About:
    """One data set in words.

    Attributes:
        files: Forms it can be found in; a form is a tuple of file patterns below its folder, all
            of which must be there. Empty for data that are generated.
        page: Where its owners give it away; empty when there is nothing to get.
        facts: What it is, by heading.
        shown: Words for the files where the patterns are too many to be shown.
    """

    files: tuple[tuple[str, ...], ...]
    page: str
    facts: tuple[Fact, ...]
    shown: str = ""

    def files_in_words(self) -> str:
        """The files of each form."""
        return self.shown or " or ".join(", ".join(form) for form in self.files) or "none"


_SIZES, _PICTURES, _PARTS = SyntheticConfig(), ImagesConfig(), AmassConfig()

ABOUT: Mapping[str, About] = {
    "synthetic": About(
        files=(),
        page="",
        facts=(
            ("files", f"needs {MAKES_ITSELF}"),
            ("content", f"sequences: train {_SIZES.train_sequences}, val {_SIZES.val_sequences}, "
                        f"test {_SIZES.test_sequences}, {_SIZES.sequence_frames} frames each at "
                        "50 Hz, 17 joints, four virtual cameras"),
            ("split", "each part has a seed of its own; no person or motion is in two"),
            ("options", "data.synthetic.* (sizes, seed, skeleton)"),
            ("terms", "none: procedural motion"),
        ),
    ),
    "images": About(
        files=(),
        page="",
        facts=(
            ("files", f"needs {MAKES_ITSELF}"),
            ("content", f"images: train {_PICTURES.train_images}, val {_PICTURES.val_images}, "
                        f"test {_PICTURES.test_images}, {_PICTURES.size} pixels, of people "
                        f"around whom {_PICTURES.views} virtual cameras stand; 17 joints, crops, "
                        "which joints are hidden, on demand the body's pose and a map of its "
                        "parts"),
            ("size", "65 kB an image of 128 pixels, kept in the cache"),
            ("split", "each part has a seed of its own; no person, motion, clothes, background or "
                      "(data.cameras random or wild) camera is in two"),
            ("options", "data.images.* (sizes, motion, views, occluders, seed); with motion=cmu "
                        "CMU's file is needed"),
            ("terms", "none: procedural people"),
        ),
    ),
    "image_folder": About(
        files=(
            ("h36m/*/*/*.jpg",), ("h36m/images/*.jpg",), ("h36m/*/Images/*/*.jpg",),
            ("mpi_inf_3dhp/*/*/imageFrames/*/*.jpg",), ("mpi_inf_3dhp/*/*/imageSequence/*.jpg",),
            ("3dpw/imageFiles/*/*.jpg",), ("3doh50k/t*/images/*.jpg",),
        ),
        shown="the pictures of h36m, mpi_inf_3dhp, 3dpw or 3doh50k, in the folders of these",
        page="http://vision.imar.ro/human3.6m",
        facts=(
            ("content", "the frames of a data set (data.image_folder.labels) with their pictures, "
                        "cut to the square around the person; JPEG or PNG"),
            ("split", "that of the data set, and its options"),
            ("options", "data.image_folder.* (labels, files, first, size, margin)"),
            ("how to get the files", "download the films or pictures beside the data set's own "
                                     "files and extract the frames, see lifting/data/README.md"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "those of the data set"),
            ("never", NEVER),
        ),
    ),
    "cmu": About(
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
    ),
    "h36m": About(
        files=(("data_3d_h36m.npz", "data_2d_h36m_*.npz"),),
        page="http://vision.imar.ro/human3.6m",
        facts=(
            ("content", "7 subjects, 15 actions twice each, four cameras of 1000 pixels, 50 Hz; "
                        "32 recorded joints of which 17 are used; metres, world frame, z up; the "
                        "calibration is built in"),
            ("size", "1,559,752 training and 543,344 test frames over the four cameras"),
            ("split", "train S1, S5, S6, S7, S8; test S9, S11; data.h36m.val_subjects or "
                      "val_holdout says what validates"),
            ("keypoints", "data_2d_h36m_<two_d>.npz: gt, cpn_ft_h36m_dbb, detectron_ft_h36m, "
                          "detectron_pt_coco, sh_ft_h36m, sh_pt_mpii; mixtures end in _gmm"),
            ("how to get the files", "register, download the poses (D3_Positions), and convert "
                                     "them with the scripts of VideoPose3D, whose authors also "
                                     "say where their 2D files are"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "registration; academic use only"),
            ("never", NEVER),
        ),
    ),
    "humaneva": About(
        files=(("data_3d_humaneva15.npz", "data_2d_humaneva15_*.npz"),),
        page="http://humaneva.is.tue.mpg.de",
        facts=(
            ("content", "3 subjects, 5 actions in pieces, three cameras of 640 x 480, 60 Hz, 15 "
                        "joints; metres, world frame, z up; extrinsics are built in, intrinsics "
                        "estimated"),
            ("split", "Train/S1-S3 train and validate, Validate/S1-S3 test"),
            ("keypoints", "data_2d_humaneva15_<two_d>.npz: gt, detectron_pt_coco"),
            ("how to get the files", "register, download, and convert with the scripts of "
                                     "VideoPose3D"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "registration; research use only"),
            ("never", NEVER),
        ),
    ),
    "mpi_inf_3dhp": About(
        files=(
            ("data_train_3dhp.npz", "data_test_3dhp.npz"),
            ("data_train_3dhp_ori.npz", "data_test_3dhp_ori.npz"),
            ("S*/Seq*/annot.mat", "S*/Seq*/camera.calibration", "**/TS*/annot_data.mat"),
        ),
        page="https://vcai.mpi-inf.mpg.de/3dhp-dataset",
        facts=(
            ("content", "8 subjects, two sequences each, 14 cameras of 2048 x 2048, 25 or 50 Hz; "
                        "six test sequences, two of them outdoors; 28 joints of which 17 are "
                        "used; millimetres, camera frame"),
            ("size", "test: 24,888 frames, of which 2,929 are valid and counted"),
            ("split", "train S1-S8 (data.mpi_inf_3dhp.val_subjects validate), test TS1-TS6"),
            ("annotations", "univ_annot3 is scaled to one height and used for scores; annot3 "
                            "(files ending _ori) agrees with the 2D"),
            ("keypoints", "ground truth only"),
            ("how to get the files", "accept the licence, download with the owners' script, or "
                                     "convert to the npz form with the scripts of P-STMO"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "non-commercial research only"),
            ("never", NEVER),
        ),
    ),
    "3dpw": About(
        files=(("sequenceFiles/train/*.pkl", "sequenceFiles/validation/*.pkl",
                "sequenceFiles/test/*.pkl"),),
        page="https://virtualhumans.mpi-inf.mpg.de/3DPW",
        facts=(
            ("content", "60 outdoor sequences of one or two persons, one moving camera of 1080 x "
                        "1920, 30 Hz; SMPL's 24 joints in metres and OpenPose's 18"),
            ("split", "the data set's own: 24 train, 12 validation, 24 test"),
            ("joints", "approximated from SMPL's, or regressed from its mesh with a model and a "
                       "regressor of yours (data.pw3d.joint_regressor)"),
            ("how to get the files", "accept the licence, download and unpack sequenceFiles.zip"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "non-commercial research only"),
            ("never", NEVER),
        ),
    ),
    "3doh50k": About(
        files=tuple((f"train{s}/annots.json", f"test{s}/annots.json") for s in ("set", "")),
        page="https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html",
        facts=(
            ("content", "50,310 training and 1,290 test images, each of a person behind "
                        "objects; SMPL's 24 joints and parameters, a camera each, no detections"),
            ("split", "its own; the last training images validate (data.oh50k.holdout)"),
            ("joints", "from SMPL's, or with a regressor of yours (data.oh50k.joint_regressor)"),
            ("how to get the files", "accept the licence, download and unpack both parts"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "non-commercial research only"),
            ("never", NEVER),
        ),
    ),
    "amass": About(
        files=tuple(
            (f"{part}/*/*.npz",) for part in (*_PARTS.train, *_PARTS.val, *_PARTS.test)
        ),
        shown="<sub-dataset>/<subject>/*.npz",
        page="https://amass.is.tue.mpg.de",
        facts=(
            ("content", "motion capture of many data sets as poses of SMPL-H or SMPL-X, 60 to "
                        "150 Hz, metres, z up; joints need a body model of yours"),
            ("body model", "data.amass.body_model or LIFTING_SMPL; SMPL-H from "
                           "https://mano.is.tue.mpg.de, SMPL-X from https://smpl-x.is.tue.mpg.de, "
                           "each under a licence of its own"),
            ("split", "by sub-dataset, as its owners recommend (data.amass.train, val, test)"),
            ("keypoints", "none recorded: virtual cameras film the motion"),
            ("how to get the files", "register, download sub-datasets, unpack each below amass/"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "non-commercial; sub-datasets and body models have terms of their own"),
            ("never", NEVER),
        ),
    ),
    "keypoint_rig": About(
        files=(("*/*.json",), ("*/*.npz",), ("*/*/*.json",)),
        shown="<recording>/<camera>.json, .npz or folder of JSON files; cameras.json optional",
        page="",
        facts=(
            ("content", "keypoints of one person in two or more synchronised videos of static "
                        "cameras; no 3D truth: a teacher makes the labels "
                        "(data.labels=epipolar)"),
            ("cameras", "cameras.json: image_size; where known intrinsics, rotation, position"),
            ("split", "the end of every recording validates and tests "
                      "(data.keypoint_rig.holdout)"),
            ("preparation", f"needs {READ_AS_IS}"),
            ("terms", "yours"),
        ),
    ),
}  # fmt: skip


def about(name: str) -> About:
    """One data set in words.

    Raises:
        ConfigError: No data set has that name.
    """
    if name not in ABOUT:
        raise ConfigError(f"unknown data set '{name}'; {suggest(name, ABOUT)}")
    return ABOUT[name]


def describe(name: str) -> list[Fact]:
    """What a data set holds, where its files are looked for, and its terms.

    Args:
        name: Data set.

    Raises:
        ConfigError: No data set has that name.
    """
    known = about(name)
    facts: list[Fact] = [("name", name), ("summary", DATASETS[name])]
    if known.files:
        facts.append(("files", known.files_in_words()))
        facts.append(("looked for in", f"data.root, else {VARIABLE}/{name}, else {VARIABLE}"))
    facts += known.facts
    if known.page:
        facts.append(("page", known.page))
    return facts


def is_found(name: str, root: str | None = None) -> bool:
    """Whether the files of a data set are there, in any of its forms.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.

    Raises:
        ConfigError: No data set has that name.
    """
    forms, folders = about(name).files, search_folders(name, root)
    return not forms or any(all(_any(folders, p) for p in form) for form in forms)


def _any(folders: tuple[Path, ...], pattern: str) -> bool:
    return any(next(folder.glob(pattern), None) is not None for folder in folders)
