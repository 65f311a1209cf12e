"""The data section of an experiment: what data sets share, and a section of each. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lifting.data.sets import data_sets, find_set
from lifting.teacher.options import TeacherOptions

Split = Literal["train", "val", "test"]
NoiseLevel = Literal["none", "light", "cpn", "coarse"]
Rig = Literal["h36m", "random", "wild"]
Labels = Literal["truth", "epipolar"]
KnownCameras = Literal["given", "intrinsics", "sizes"]


@dataclass
class TeacherConfig(TeacherOptions):
    """Labels triangulated from the keypoints of several views, where ``labels`` is ``epipolar``.

    Every recording is a rig of its own, solved by the options of
    :class:`lifting.teacher.options.TeacherOptions`, which are keys of this section, too.

    Attributes:
        cameras: What the teacher is told of the cameras: all that the data hold (``given``), their
            ``intrinsics``, or the ``sizes`` of the images only. The rest is estimated, and so is
            the scale where the places of the cameras are: by the lengths of people's bones.
        views: Names of the views to use, the last part of a track's name; empty takes all.
        held_out: Name of a view that neither makes labels nor is trained on.
        accept: Least verdict on a rig: ``low`` leaves out the unusable ones only.
        validation: Labels of the validation split: the teacher's (``labels``), so that no 3D truth
            chooses a checkpoint; or the ``truth``, where there is one.
    """

    cameras: KnownCameras = "given"
    views: tuple[str, ...] = ()
    held_out: str | None = None
    accept: Literal["good", "low"] = "low"
    validation: Literal["labels", "truth"] = "labels"

    def options(self) -> TeacherOptions:
        """How a rig is solved."""
        return TeacherOptions(**{f.name: getattr(self, f.name) for f in fields(TeacherOptions)})


@dataclass
class RefilmConfig:
    """Motion filmed anew in training, by fresh cameras of ``data.cameras``.

    The kinds of noise take the place of ``data.noise_train``; validation and test are filmed once,
    as without.

    Attributes:
        every: Epochs that a film lasts; 0 films the motion once, as a whole.
        share: Of the motion that a film shows.
        seconds: Length of a clip, about which a rig stands.
        pace: Largest change of a clip's pace, as a share.
        mixed: Share of the clips in which some arms and legs move as those of another clip.
        bones: Standard deviation of factors on the lengths of people's bones.
        noise: Levels of detector noise, of which every track has one.
        other_joints: Share of the tracks whose trunk is put together as from a detector's joints.
        lost: Share of the tracks with people who are cut off, or with joints that are not found.
    """

    every: int = 0
    share: float = 0.25
    seconds: float = 2.5
    pace: float = 0.25
    mixed: float = 0.0
    bones: float = 0.08
    noise: tuple[NoiseLevel, ...] = ("light", "cpn", "coarse")
    other_joints: float = 0.5
    lost: float = 0.25


@dataclass
class CommonConfig:
    """Where samples come from and how they are cut into batches.

    Attributes:
        name: Data set, see `lifting data list`; its options stand in a section of its own.
        skeleton: Joints that labels and keypoints are converted to, for example ``h36m17``; null
            leaves those of the data, or takes those that weights were trained for.
        fps: Frames a second that a method of windows sees, tracks of other rates are resampled;
            null is the highest of the training tracks, or what weights were trained at.
        stand_in: Procedural data set that takes the place of the files where they are not at
            hand, as in smoke tests: ``images`` for methods that look at pictures.
        root: Folder of the files; None looks in LIFTING_DATA/<name> and LIFTING_DATA.
        cache: Folder for derived data; None is the user's cache folder.
        cameras: Which virtual rig films 3D motion that has no cameras of its own.
        noise: 2D detector noise added to projected joints (``none`` is the ground truth).
        noise_train: That of the training split, where it differs: DiffPose trains on the ground
            truth and is tested on detections.
        noise_seed: Seed of rigs and noise.
        refilm: Whether and how the motion of the training split is filmed anew.
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
        batch_size: Training samples a batch at most, over all processes, each of which takes an
            equal slice; with views together, instants.
        epoch_batches: Batches of an epoch of training, whatever the number of samples: one pass
            over them follows another, each in an order of its own; null: an epoch is one pass.
        eval_batch_size: Validation, test and prediction samples a batch at most, over all
            processes; a batch has at least one of each process.
        flip: Mirror half of the training samples.
        bone_jitter: Standard deviation of random bone-length factors in training, 0 is off.
        turn: Largest angle by which a training sample is turned about the vertical, at random,
            degrees; 0 is off.
        workers: Loader processes; 0 gathers in the main one, which is faster for keypoints.
        device: Where the tracks live; ``auto`` is the training device if they fit.
        labels: What is learnt: the data set's own 3D labels (``truth``), or those that a teacher
            triangulates from the keypoints of all views (``epipolar``); then no 3D truth of the
            training split is used. The test split keeps its truth where it has one.
        teacher: How those labels are made.
    """

    name: str = "synthetic"
    skeleton: str | None = None
    fps: float | None = None
    stand_in: str = "synthetic"
    root: str | None = None
    cache: str | None = None
    cameras: Rig = "h36m"
    noise: NoiseLevel = "cpn"
    noise_train: NoiseLevel | None = None
    noise_seed: int = 0
    refilm: RefilmConfig = field(default_factory=RefilmConfig)
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
    epoch_batches: int | None = None
    eval_batch_size: int = 1024
    flip: bool = True
    bone_jitter: float = 0.0
    turn: float = 0.0
    workers: int = 0
    device: Literal["auto", "cpu"] = "auto"
    labels: Labels = "truth"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)


if TYPE_CHECKING:

    class DataConfig(CommonConfig):
        """The data section; sections of data sets are found by listing."""

        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    DataConfig = make_dataclass(
        "DataConfig",
        [
            (one.section, one.config.Config, field(default_factory=one.config.Config))
            for one in data_sets().values()
        ],
        bases=(CommonConfig,),
        namespace={"__doc__": CommonConfig.__doc__, "__module__": __name__},
    )


def noise_of(data: DataConfig, split: str) -> NoiseLevel:
    """Detector noise of a split."""
    own = data.noise_train if split == "train" else None
    return data.noise if own is None else own


def scored_target(data: DataConfig) -> Literal["middle", "all"]:
    """Which frames of its windows an evaluation counts, for a record.

    Chunks count every n-th frame of a track once, the samples of windows around these frames.
    """
    return "middle" if data.windows == "chunks" else data.target


def with_section(data: DataConfig, section: str, options: Any) -> DataConfig:
    """The same data section with other options of one data set."""
    return replace(data, **{section: options})


def sections_in_use(data: DataConfig) -> set[str]:
    """Sections of data sets that decide what a data section gives.

    Raises:
        ConfigError: No data set has the section's name.
    """
    found: set[str] = set()
    wanted = [find_set(data.name).section]
    by_section = {one.section: one for one in data_sets().values()}
    while wanted:
        section = wanted.pop()
        if section not in found:
            found.add(section)
            wanted += by_section[section].fact("uses", lambda data: ())(data)
    return found


def without_unused(data: DataConfig) -> DataConfig:
    """The same data section with sections that nothing reads at their defaults."""
    used = sections_in_use(data)
    for one in data_sets().values():
        if one.section not in used:
            setattr(data, one.section, one.config.Config())
    return data
