"""The data section of an experiment. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lifting.data.images.config import ImageFolderConfig, ImagesConfig
from lifting.data.keypoints.config import KeypointRigConfig
from lifting.data.oh50k_config import Oh50kConfig
from lifting.data.teacher_config import Labels, TeacherConfig

DATASETS: dict[str, str] = {
    "synthetic": "procedural people and motion, no download (the default)",
    "images": "procedural people rendered as images, several views, no download",
    "image_folder": "pictures on disk beside the labels of h36m, mpi_inf_3dhp, 3dpw or 3doh50k",
    "cmu": "CMU motion capture, 17 joints, seen by virtual cameras (free for all uses)",
    "h36m": "Human3.6M in the npz form of VideoPose3D, 17 joints, four cameras",
    "humaneva": "HumanEva-I in the npz form of VideoPose3D, 15 joints, three cameras",
    "mpi_inf_3dhp": "MPI-INF-3DHP, its own files or the npz form of P-STMO, 17 joints",
    "3dpw": "3DPW sequence files, outdoors, moving camera, 17 approximate joints",
    "3doh50k": "3DOH50K, single images of people behind objects, 17 approximate joints",
    "amass": "AMASS motion on a body model of yours, seen by virtual cameras",
    "keypoint_rig": "your own recordings: a folder each, with a keypoint file for every camera",
}

Split = Literal["train", "val", "test"]
NoiseLevel = Literal["none", "light", "cpn", "coarse"]
Rig = Literal["h36m", "random", "wild"]


@dataclass
class SyntheticConfig:
    """Size and kind of the procedural data.

    Attributes:
        train_sequences: Motions in the training split, each seen by every camera of its rig.
        val_sequences: Motions in the validation split.
        test_sequences: Motions in the test split.
        sequence_frames: Frames a motion, at 50 a second.
        seed: Seeds of the three splits are derived from it and never overlap.
        skeleton: ``human`` samples anthropometric proportions, ``h36m`` scales one skeleton.
        extras: Also make ``heatmaps`` or 2D ``mixtures``; only when asked for.
    """

    train_sequences: int = 480
    val_sequences: int = 16
    test_sequences: int = 40
    sequence_frames: int = 250
    seed: int = 0
    skeleton: Literal["human", "h36m"] = "human"
    extras: tuple[str, ...] = ()


@dataclass
class H36mConfig:
    """Human3.6M: ``data_3d_h36m.npz`` and ``data_2d_h36m_<two_d>.npz``.

    Attributes:
        two_d: Ending of the 2D file, for example ``gt``, ``cpn_ft_h36m_dbb``, ``sh_ft_h36m``, or
            ``cpn_ft_h36m_dbb_gmm`` for mixtures. Other joint orders become ``h36m17``.
        two_d_test: Ending of the 2D file of the test split; None is ``two_d``.
        train_subjects: Subjects to train on, less those of ``val_subjects``.
        val_subjects: Subjects to validate on, none of them of the test split. When empty, all of
            ``train_subjects`` are trained on and ``val_holdout`` says what validates.
        val_holdout: Without ``val_subjects``: every n-th training recording validates instead of
            training; 0 holds none out: every 20th then validates although it is trained on.
        test_subjects: Subjects to test on.
        actions: Actions to keep; empty keeps all 15.
        cameras: Camera numbers to keep; empty keeps all four.
        every: Keep every n-th frame of a recording, as if filmed at 50 / n frames a second.
        drop_corrupt: Leave out the three S9 recordings whose labels drift; they belong to the
            published test.
        max_bytes: Largest expanded size of a file; more is taken for a trap.
    """

    two_d: str = "cpn_ft_h36m_dbb"
    two_d_test: str | None = None
    train_subjects: tuple[str, ...] = ("S1", "S5", "S6", "S7", "S8")
    val_subjects: tuple[str, ...] = ("S8",)
    val_holdout: int = 0
    test_subjects: tuple[str, ...] = ("S9", "S11")
    actions: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    every: int = 1
    drop_corrupt: bool = False
    max_bytes: int = 4 * 1024**3


@dataclass
class HumanEvaConfig:
    """HumanEva-I: ``data_3d_humaneva15.npz`` and ``data_2d_humaneva15_<two_d>.npz``.

    The recordings of ``Train`` train, those of ``Validate`` test.

    Attributes:
        two_d: Ending of the 2D file, for example ``gt`` or ``detectron_pt_coco``.
        subjects: Subjects to train and test on.
        val_subjects: Subjects whose training recordings validate instead of training; when empty
            ``val_holdout`` says what validates.
        val_holdout: Without ``val_subjects``: every n-th training recording validates instead of
            training; 0 holds none out: every 20th then validates although it is trained on.
        actions: Actions to keep; empty keeps all five.
        cameras: Cameras to keep; empty keeps all three.
        every: Keep every n-th frame of a recording, as if filmed at 60 / n frames a second.
        skeleton: Keep the 15 joints, or convert them to 17, two of which are approximate and
            masked.
        drop_corrupt: Leave out S3's walking, whose motion capture is damaged.
    """

    two_d: str = "gt"
    subjects: tuple[str, ...] = ("S1", "S2", "S3")
    val_subjects: tuple[str, ...] = ()
    val_holdout: int = 5
    actions: tuple[str, ...] = ("Walking", "Jog", "Box")
    cameras: tuple[str, ...] = ()
    every: int = 1
    skeleton: Literal["humaneva15", "h36m17"] = "humaneva15"
    drop_corrupt: bool = False


@dataclass
class Mpi3dhpConfig:
    """MPI-INF-3DHP: ``data_train_3dhp.npz`` and ``data_test_3dhp.npz``, or those with ``_ori``.

    Where a split has no such file, ``S1..S8`` and ``mpi_inf_3dhp_test_set`` are read instead.

    Attributes:
        annotation: ``univ`` scales poses to one height, as most published numbers do; ``annot3``
            (the files ending ``_ori``) agrees with the 2D, as reprojection needs.
        train_subjects: Subjects to train on, less those of ``val_subjects``.
        val_subjects: Subjects to validate on; when empty ``val_holdout`` says what validates.
        val_holdout: Without ``val_subjects``: every n-th training recording validates instead of
            training; 0 holds none out: every 20th then validates although it is trained on.
        test_sequences: Sequences to test on; frames that are not valid stay for windows, masked.
        cameras: Training cameras to keep; empty keeps all of the file.
        every: Keep every n-th frame of a sequence.
        skeleton: Keep the data set's 17 joints, or rename and reorder them to ``h36m17``.
    """

    annotation: Literal["univ", "annot3"] = "univ"
    train_subjects: tuple[str, ...] = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8")
    val_subjects: tuple[str, ...] = ("S8",)
    val_holdout: int = 0
    test_sequences: tuple[str, ...] = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
    cameras: tuple[str, ...] = ("0", "1", "2", "4", "5", "6", "7", "8")
    every: int = 1
    skeleton: Literal["mpi17", "h36m17"] = "mpi17"


@dataclass
class Pw3dConfig:
    """3DPW: ``sequenceFiles/{train,validation,test}/*.pkl``, the split of the data set itself.

    Attributes:
        two_d: ``openpose`` are the detections in the files; ``gt`` projects the labels.
        every: Keep every n-th frame of a sequence, as if filmed at 30 / n frames a second.
        joint_regressor: File ``.npy`` of a ``(17, 6890)`` matrix that gives Human3.6M's joints of
            SMPL's mesh, as published numbers use; None approximates them from the joint tree.
        body_model: With a regressor: SMPL model file or folder; None takes LIFTING_SMPL.
    """

    two_d: Literal["openpose", "gt"] = "openpose"
    every: int = 1
    joint_regressor: str | None = None
    body_model: str | None = None


@dataclass
class AmassConfig:
    """AMASS: ``<sub-dataset>/**/*.npz`` of the SMPL-H or SMPL-X edition.

    The default parts are the split that the data set recommends, under the folder names of old
    and new releases; a folder that is not there is passed over.

    Attributes:
        body_model: Model file, or folder of models; None takes the variable LIFTING_SMPL.
        fps: Frames a second of the clips; motion is interpolated.
        clip_seconds: Motion is cut into clips of this length, each filmed by a rig of its own.
        min_seconds: Shorter rests are left out.
        train: Sub-datasets to train on.
        val: Sub-datasets to validate on.
        test: Sub-datasets to test on.
    """

    body_model: str | None = None
    fps: float = 50.0
    clip_seconds: float = 10.0
    min_seconds: float = 1.0
    train: tuple[str, ...] = (
        "ACCAD", "BMLhandball", "BMLmovi", "BMLrub", "BioMotionLab_NTroje", "CMU", "DanceDB",
        "DFaust_67", "DFaust", "EKUT", "Eyes_Japan_Dataset", "EyesJapanDataset", "KIT",
        "MPI_Limits", "PosePrior", "TCD_handMocap", "TCDHands", "TotalCapture",
    )  # fmt: skip
    val: tuple[str, ...] = ("HumanEva", "MPI_HDM05", "HDM05", "SFU", "MPI_mosh", "MoSh")
    test: tuple[str, ...] = ("Transitions_mocap", "Transitions", "SSM_synced", "SSM")


@dataclass
class DataConfig:
    """Where samples come from and how they are cut into batches.

    Attributes:
        name: Data set, see ``DATASETS``.
        stand_in: Procedural data set that takes the place of the files where they are not at
            hand, as in smoke tests: ``images`` for methods that look at pictures.
        root: Folder of the files; None looks in LIFTING_DATA/<name> and LIFTING_DATA.
        cache: Folder for derived data; None is the user's cache folder.
        cameras: Which virtual rig films 3D motion that has no cameras of its own.
        noise: 2D detector noise added to projected joints (``none`` is the ground truth).
        noise_train: That of the training split, where it differs: DiffPose trains on the ground
            truth and is tested on detections.
        noise_seed: Seed of rigs and noise.
        mixtures: File of 2D mixtures for the extra ``mixtures``, see ``lifting data mixtures``.
        frames: Odd length of a window.
        window_stride: Frames between two neighbours inside a window.
        windows: ``centred``, one around every sample; ``chunks``, side by side over whole tracks,
            for ``target: all``; the last ends with the track, and what it shares with the one
            before counts once, repeated edge frames never; training takes windows within the
            tracks. ``chunks_released`` is the released form: both count in evaluation.
        target: Answer the middle frame of a window, or all of them.
        train_recordings: Train on so many recordings, evenly spread over the split; 0 takes all.
        train_every: Use every n-th frame as a training sample: the middle of a centred window, the
            start of one within a track.
        eval_every: Use every n-th frame as a validation and test sample; chunks lift all frames,
            and every n-th counts.
        views: ``together`` trains on all views of an instant at once, with an axis of views after
            the first; evaluation always sees them apart.
        batch_size: Training samples a batch; with views together, instants.
        eval_batch_size: Validation, test and prediction samples a batch.
        flip: Mirror half of the training samples.
        bone_jitter: Standard deviation of random bone-length factors in training, 0 is off.
        workers: Loader processes; 0 gathers in the main one, which is faster for keypoints.
        device: Where the tracks live; ``auto`` is the training device if they fit.
        labels: What is learnt: the data set's own 3D labels (``truth``), or those that a teacher
            triangulates from the keypoints of all views (``epipolar``); then no 3D truth of the
            training split is used. The test split keeps its truth where it has one.
        teacher: How those labels are made.
        synthetic: Options of the data set ``synthetic``.
        images: Options of the data set ``images``.
        image_folder: Options of the data set ``image_folder``.
        h36m: Options of the data set ``h36m``.
        humaneva: Options of the data set ``humaneva``.
        mpi_inf_3dhp: Options of the data set ``mpi_inf_3dhp``.
        pw3d: Options of the data set ``3dpw``.
        oh50k: Options of the data set ``3doh50k``.
        amass: Options of the data set ``amass``.
        keypoint_rig: Options of the data set ``keypoint_rig``.
    """

    name: str = "synthetic"
    stand_in: Literal["synthetic", "images"] = "synthetic"
    root: str | None = None
    cache: str | None = None
    cameras: Rig = "h36m"
    noise: NoiseLevel = "cpn"
    noise_train: NoiseLevel | None = None
    noise_seed: int = 0
    mixtures: str | None = None
    frames: int = 1
    window_stride: int = 1
    windows: Literal["centred", "chunks", "chunks_released"] = "centred"
    target: Literal["middle", "all"] = "middle"
    train_recordings: int = 0
    train_every: int = 1
    eval_every: int = 1
    views: Literal["apart", "together"] = "apart"
    batch_size: int = 1024
    eval_batch_size: int = 1024
    flip: bool = True
    bone_jitter: float = 0.0
    workers: int = 0
    device: Literal["auto", "cpu"] = "auto"
    labels: Labels = "truth"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    image_folder: ImageFolderConfig = field(default_factory=ImageFolderConfig)
    h36m: H36mConfig = field(default_factory=H36mConfig)
    humaneva: HumanEvaConfig = field(default_factory=HumanEvaConfig)
    mpi_inf_3dhp: Mpi3dhpConfig = field(default_factory=Mpi3dhpConfig)
    pw3d: Pw3dConfig = field(default_factory=Pw3dConfig)
    oh50k: Oh50kConfig = field(default_factory=Oh50kConfig)
    amass: AmassConfig = field(default_factory=AmassConfig)
    keypoint_rig: KeypointRigConfig = field(default_factory=KeypointRigConfig)
