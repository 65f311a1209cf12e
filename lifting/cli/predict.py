"""``lifting predict``: lift the test split, or a user's own keypoints."""

from __future__ import annotations

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.export import FORMATS, add_joint_names
from lifting.cli.export import write as write_exports
from lifting.cli.options import (
    add_checkpoint,
    add_experiment,
    known_bone,
    load_for_checkpoint,
)
from lifting.cli.view import add_video, check_video, show_beside
from lifting.errors import ConfigError, OutputError
from lifting.experiment.console import console
from lifting.export import check_names, chosen

if TYPE_CHECKING:
    from lifting.data.keypoints.read import VideoSeen
    from lifting.data.sequence import PoseTracks
    from lifting.experiment.config import ExperimentConfig
    from lifting.export import Export
    from lifting.motion.options import MotionOptions
    from lifting.poses import Poses


log = logging.getLogger(__name__)

_SAME_LENGTH = 1.2  # by which keypoints and their video may differ in duration


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="write 3D poses to an npz file",
        description="Lift the test split, or the keypoints of a file, and write joints_3d "
        "(rows, joints, 3), root-relative millimetres, one row a person and frame, with sigma and "
        "trajectory where the method gives them. lifting.Poses.load reads the file.",
    )
    add_experiment(parser, required=False)
    add_checkpoint(parser)
    parser.add_argument(
        "--weights",
        metavar="NAME_OR_FILE",
        help="in the place of an experiment: ready weights (`lifting weights list`), a file of "
        "them, a checkpoint or a run; with neither, ready weights are chosen by the length and "
        "rate of the keypoints",
    )
    _add_keypoints(parser)
    _add_motion(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NPZ_OR_FOLDER",
        help="a name ending in .npz is the file to write, any other a folder for poses.npz, "
        "exports and viewer.html, which shows own keypoints in 3D (default: predictions.npz, or "
        "the folder predictions for exports, beside the checkpoints of the run; with ready "
        "weights poses.npz, here)",
    )
    parser.add_argument(
        "--export",
        metavar="FORMATS",
        help=f"also write these, with commas between them: {FORMATS}",
    )
    add_joint_names(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with keypoints whose lifting was stopped; it left its answers so far beside "
        "the output, in NAME.part.npz",
    )
    parser.add_argument(
        "--hypotheses", action="store_true", help="also write every hypothesis, where there are"
    )
    parser.set_defaults(handler=handle)


def _add_keypoints(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("a video of your own")
    own.add_argument(
        "--keypoints",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help="lift these: what a detector wrote (lifting data look FILE tells which formats are "
        "known), or an npz with keypoints_2d (T, joints, 2) or (T, people, joints, 2) pixels",
    )
    own.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="pixels of the video, where the file does not say",
    )
    own.add_argument(
        "--skeleton",
        help="order of the joints (default: what the file says, else the known one that fits)",
    )
    own.add_argument("--person", help="number of a track, largest, longest, or all (default: all)")
    own.add_argument(
        "--intrinsics",
        type=float,
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="camera in pixels (default: a focal length of 1.2 times the larger side)",
    )
    own.add_argument(
        "--fps",
        type=float,
        help="frames a second of the video, where the file does not say; without it a method of "
        "several frames takes the rate of --video, else the one that its weights were trained at, "
        "which is said",
    )
    own.add_argument(
        "--coordinates",
        choices=("pixels", "unit", "signed"),
        help="what the positions are, where not what the format prescribes: unit is 0 to 1 "
        "across the image, signed -1 to 1",
    )
    own.add_argument(
        "--gap-frames",
        type=int,
        metavar="FRAMES",
        help="longest gap of a person that is filled; longer ones cut a track (default: 10)",
    )
    own.add_argument(
        "--photographs",
        action="store_true",
        default=None,
        help="every image is a photograph by itself, without motion (default: so are images of "
        "several sizes whose names do not number the frames of a video)",
    )
    own.add_argument(
        "--max-size",
        type=float,
        metavar="MB",
        help="largest file or folder that is read (default: 256, and 500,000 frames)",
    )
    add_video(own)


def _add_motion(parser: argparse.ArgumentParser) -> None:
    motion = parser.add_argument_group(
        "people who move (with --keypoints)",
        "Keypoints are cleaned before they are lifted; poses get a path in front of the camera, "
        "bones of constant length, contacts of the feet and a world whose z is up.",
    )
    motion.add_argument(
        "--height",
        metavar="METRES",
        help="of everyone, or 0=1.78,1=1.65 by the number of a person (default: the size that the "
        "method answers, which is said)",
    )
    motion.add_argument(
        "--bone",
        action="append",
        metavar="JOINT=MM",
        help="known length of the bone that ends at a joint, which gives the size in the place of "
        "a height; may be repeated",
    )
    motion.add_argument(
        "--up",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="which way is up in the axes of the camera: x right, y down, z forward (default: "
        "estimated, with its uncertainty)",
    )
    motion.add_argument(
        "--moving-camera",
        action="store_true",
        help="the camera moves: leave everything in its frame",
    )
    motion.add_argument(
        "--camera-poses",
        type=Path,
        metavar="NPZ",
        help="where it was at every frame: rotation (F, 3, 3), world to camera, and position "
        "(F, 3), mm, in a world whose z is up; frame (F,) where they do not count from 0",
    )
    motion.add_argument(
        "--causal", action="store_true", help="no answer depends on frames after it"
    )
    motion.add_argument(
        "--lookahead",
        type=int,
        metavar="FRAMES",
        help="with --causal: no answer depends on more than so many frames after it (default: 0)",
    )
    motion.add_argument(
        "--without",
        metavar="STAGES",
        help="stages to leave out, such as smooth,feet: clean, smooth, scale, bones, root, "
        "contacts, ground, feet; all gives what the method answers; flip, besides, leaves out "
        "the averaging with the mirrored keypoints, in half the time",
    )


def _motion(arguments: argparse.Namespace) -> MotionOptions | None:
    """What happens around the lifting of own keypoints; None for the test split."""
    from lifting.motion.options import MotionOptions

    names = (
        "height",
        "bone",
        "up",
        "moving_camera",
        "camera_poses",
        "causal",
        "lookahead",
        "without",
    )
    values = {name: getattr(arguments, name) for name in names}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if arguments.keypoints is None:
        given += ["resume"] if arguments.resume else []
        if given:
            raise ConfigError(
                f"expected --keypoints beside --{given[0].replace('_', '-')}, got none; name the "
                "file, or leave the option out to lift the test split"
            )
        return None
    if arguments.lookahead is not None and not arguments.causal:
        raise ConfigError(
            f"expected --causal beside --lookahead {arguments.lookahead}, got none; add it, or "
            "leave --lookahead out to use the whole video"
        )
    return MotionOptions(
        without=arguments.without or (),
        height=arguments.height,
        bone_lengths=dict(map(known_bone, arguments.bone or ())),
        up=None if arguments.up is None else tuple(arguments.up),
        moving_camera=arguments.moving_camera,
        camera_poses=arguments.camera_poses,
        lookahead=(arguments.lookahead or 0) if arguments.causal else None,
    )


def _own_video(arguments: argparse.Namespace) -> VideoSeen | None:
    """The user's keypoints, if any are to be lifted; whatever is wrong with them is found here."""
    names = (
        "image_size", "skeleton", "person", "intrinsics", "fps", "coordinates",
        "gap_frames", "photographs", "max_size", "video",
    )  # fmt: skip
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value is not None}
    if arguments.keypoints is None:
        if options:
            raise ConfigError(
                f"expected --keypoints beside --{next(iter(options)).replace('_', '-')}, got "
                "none; name the file, or leave the option out to lift the test split"
            )
        return None
    check_video(arguments, _output(arguments, Path("poses.npz")).parent)
    options.pop("video", None)
    from lifting.data.keypoints.read import read_video
    from lifting.files.checks import Size

    if "image_size" in options:
        options["image_size"] = tuple(options["image_size"])
    options["size"] = Size.of(options.pop("max_size", None))
    seen = read_video(arguments.keypoints, **options)
    return seen if arguments.video is None else _timed(arguments, seen)


def _timed(arguments: argparse.Namespace, seen: VideoSeen) -> VideoSeen:
    """Keypoints at the rate of their video where nobody says theirs; where they differ is said."""
    from lifting.visualization.video import read_span

    if seen.photographs:
        raise ConfigError(
            f"expected the keypoints of {arguments.video}, got {seen.facts['photographs']}; leave "
            "--video out"
        )
    rate, seconds = read_span(arguments.video)
    if seen.fps is None and rate is not None and 1 <= rate <= 1000:
        console.say(
            f"frames a second are not known: {rate:g} are taken, those of {arguments.video}"
        )
        seen = seen._replace(fps=rate)
    if seen.fps is None or not seconds or arguments.match == "number":
        return seen
    when = seen.when
    lasts = (when.first + (int(when.number[-1]) + 1) * when.step) / seen.fps
    if max(lasts, seconds) > _SAME_LENGTH * min(lasts, seconds):
        log.warning(
            "keypoints last to %.1f s at %g frames a second, and %s to %.1f s at %s: they are "
            "drawn at other times than they are of; correct --fps, or give --match number",
            lasts, seen.fps, arguments.video, seconds,
            "a rate that it does not say" if rate is None else f"{rate:g}",
        )  # fmt: skip
    return seen


def _say(tracks: PoseTracks, config: ExperimentConfig, *, placed: bool = False) -> None:
    """What was read, and what was assumed; where people are placed, they hang on the camera."""
    facts = tracks.source
    console.values(keypoints=facts)
    unused = "" if placed else _unused_camera(config)
    console.say(
        f"keypoints: {facts['two_d']}, {facts['joints']}, person {facts['person']}, "
        f"{facts['frames']} frames of people ({facts['frames_filled']} filled in) in "
        f"{facts['pieces']} pieces, intrinsics {facts['intrinsics']}{unused}"
    )
    counted = {
        "joints_far_outside": "joints more than an image beside it count as missing",
        "confidences_clipped": "confidences above 1 count as 1",
    }
    lines = [facts.get("photographs"), facts.get("people"), facts.get("notes")]
    if "photographs" not in facts:
        lines.insert(2, _frames_of(tracks))
    if facts["coordinates"] != "pixels":
        lines.append("positions are parts of the image")
    unknown_rate = "photographs" not in facts and bool(tracks.fps.isnan().any())
    if facts["frame_numbers"] == "in order":
        lines.append(
            "frames are counted in their order, as of a video: their names do not number them; if "
            "they are photographs, give --photographs"
        )
    elif unknown_rate and "jumps" in facts.get("people", ""):
        lines.append("images are taken for frames of a video; if photographs, give --photographs")
    if unknown_rate:
        lines.append(_unknown_rate(config))
    lines += [f"{facts[key]} {words}" for key, words in counted.items() if facts[key] != "0"]
    for line in lines:
        if line:
            console.say(f"  {line}")


def _frames_of(tracks: PoseTracks) -> str:
    """How many frames each of several people has, and what can be done where one became two."""
    frames: dict[str, int] = {}
    for who, count in zip(tracks.subject.tolist(), tracks.offsets.diff().tolist(), strict=True):
        name = tracks.subject_names[who]
        frames[name] = frames.get(name, 0) + count
    if len(frames) < 2:
        return ""
    told = ", ".join(f"{count} of {name}" for name, count in list(frames.items())[:12])
    more = f" and others, {len(frames)} in all" if len(frames) > 12 else ""
    ids = "; who was away for long stays the same person by ids in the file alone"
    said = f"frames: {told}{more}; --person NUMBER lifts one of them"
    return said + (ids if "no ids" in tracks.source.get("people", "") else "")


def _unknown_rate(config: ExperimentConfig) -> str:
    """What is lifted and assumed where nobody says the frames a second."""
    from lifting.motion.options import USUAL_FPS

    frames = (
        "single frames are lifted"
        if config.data.frames == 1
        else "frames are taken to follow one another as in the training"
    )
    return (
        f"frames a second are not known: {frames}, and {USUAL_FPS:g} a second are taken for "
        "whatever needs a rate; give --fps"
    )


def _unused_camera(config: ExperimentConfig) -> str:
    """Words behind the intrinsics, where no answer depends on them; else none."""
    from lifting.experiment.claims import uses_camera

    if config.tto.uses_camera or uses_camera(config.method):
        return ""
    return f", but {config.method['name']} does not use them"


def handle(arguments: argparse.Namespace) -> int:
    """Read what is to be lifted, find the weights, lift, and say where the answer is."""
    if arguments.experiment is not None and arguments.weights is not None:
        raise ConfigError(
            f"expected an experiment or --weights, got '{arguments.experiment}' and "
            f"'{arguments.weights}'; weights say how they were trained: leave the experiment out"
        )
    formats = _formats(arguments)
    motion = _motion(arguments)
    video = _own_video(arguments)
    if arguments.experiment is None:
        return _with_ready_weights(arguments, video, formats, motion)
    config, checkpoint = load_for_checkpoint(arguments)
    keypoints = None
    if video is not None:
        from lifting.data.keypoints.tracks import tracks_of

        keypoints = tracks_of(arguments.keypoints, video)
        _say(keypoints, config, placed=motion is not None and motion.uses("root"))
    from lifting.experiment.folder import run_of_checkpoint
    from lifting.experiment.prediction import predict

    folder = run_of_checkpoint(checkpoint) or checkpoint.parent
    usual = folder / ("predictions/poses.npz" if formats else "predictions.npz")
    output = _output(arguments, usual)

    def then(_poses: Poses) -> None:
        console.tell(f"predictions: {output}", poses=output)
        _beside(arguments, output)

    predict(
        config,
        checkpoint,
        output,
        keypoints=keypoints,
        hypotheses=arguments.hypotheses,
        command=arguments.words,
        ready=partial(check_names, formats, profile=arguments.joint_names),
        motion=motion,
        resume=arguments.resume,
        then=then,
    )
    return 0


def _with_ready_weights(
    arguments: argparse.Namespace,
    video: VideoSeen | None,
    formats: list[Export],
    motion: MotionOptions | None,
) -> int:
    """Lift a user's keypoints with weights that say themselves how they were trained."""
    given = [f"--{name}" for name in ("checkpoint", "data") if getattr(arguments, name)]
    if video is None or motion is None or given:
        raise ConfigError(
            f"expected an experiment{f' beside {given[0]}' if given else ''}, or keypoints for "
            "ready weights, got neither; name one (`lifting experiments`), or give --keypoints "
            "FILE and, where you have weights, --weights NAME_OR_FILE"
        )
    from lifting.data.keypoints.tracks import tracks_of
    from lifting.experiment.prediction import UNUSUAL, lift_into
    from lifting.experiment.ready import ready_model

    keypoints = tracks_of(arguments.keypoints, video)
    output = _output(arguments, Path("poses.npz"))
    model = ready_model(keypoints, arguments.weights)
    _say(keypoints, model.config, placed=motion.uses("root"))

    def then(poses: Poses) -> None:
        if UNUSUAL in poses.meta:
            facts, of = poses.meta[UNUSUAL], len(keypoints.track_names)
            share, tracks = facts["share_of_frames"], len(facts["tracks"])
            console.tell(
                f"unusual input: {share:.1%} of the frames, {tracks} of {of} tracks",
                unusual_share=share,
                unusual_tracks=tracks,
            )
        console.tell(f"poses: {output}", poses=output)
        _beside(arguments, output)

    lift_into(
        output,
        model,
        keypoints,
        hypotheses=arguments.hypotheses,
        command=arguments.words,
        ready=partial(check_names, formats, profile=arguments.joint_names),
        motion=motion,
        resume=arguments.resume,
        then=then,
    )
    return 0


def _formats(arguments: argparse.Namespace) -> list[Export]:
    """The exports that are asked for, which can be written as far as is known before the work."""
    if arguments.export is None:
        if arguments.joint_names is not None:
            raise ConfigError(
                "expected --export beside --joint-names, got none; give --export bvh, for example"
            )
        return []
    formats = chosen(arguments.export, arguments.joint_names)
    output = arguments.output
    if output is not None and output.suffix == ".npz":
        raise ConfigError(
            f"expected a folder for --output beside --export, got the file {output}; give "
            f"{output.parent if str(output.parent) != '.' else output.stem}"
        )
    return formats


def _output(arguments: argparse.Namespace, usual: Path) -> Path:
    """The npz file to write."""
    output: Path = arguments.output or usual
    if output.suffix != ".npz":
        return output / "poses.npz"
    if output.is_dir():
        raise OutputError(f"expected a file for --output, got the folder {output}; name a .npz")
    return output


def _beside(arguments: argparse.Namespace, poses: Path) -> None:
    """Exports; the page, where a folder is written; the video."""
    if arguments.export is not None:
        write_exports(poses, arguments.export, poses.parent, arguments.joint_names)
    folder = arguments.export is not None or (
        arguments.output is not None and arguments.output.suffix != ".npz"
    )
    show_beside(arguments, poses, page=folder and arguments.keypoints is not None)
