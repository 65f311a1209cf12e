"""``lifting view``: a page to look at people in 3D, and skeletons over the frames of a video."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.errors import ConfigError, OutputError
from lifting.experiment.console import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lifting.poses import Poses

PAGE, VIDEO = "viewer.html", "overlay.mp4"
_OVERLAY = (
    "draw the skeletons over the frames of this video, which the keypoints come from, and write "
    f"{VIDEO} beside the rest (extra `video`)"
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "view",
        help="look at poses in a browser; draw them over a video",
        description="Write one HTML file that shows people in 3D with the keypoints they were "
        "lifted from, without a network. A second file is drawn where the first is: prediction "
        "beside truth, method beside method.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="POSES", help="one or two files of poses (.npz)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="HTML",
        help=f"page to write, or a folder for it (default: {PAGE} beside the first file)",
    )
    parser.add_argument("--title", help="at the top of the page (default: the files)")
    add_video(parser)
    parser.set_defaults(handler=handle)


def add_video(parser: argparse._ActionsContainer) -> None:
    """The video that poses are drawn over, and which frames belong together."""
    parser.add_argument("--video", type=Path, metavar="VIDEO", help=_OVERLAY)
    parser.add_argument(
        "--match",
        choices=("time", "number"),
        default="time",
        help="which frame of the poses belongs to one of the video: that of its time stamp, or "
        "that of its number, for videos of a varying rate whose frames a detector counted",
    )


def handle(arguments: argparse.Namespace) -> int:
    """Read the poses, and write what was asked for."""
    files = arguments.files
    if len(files) > 2:
        raise ConfigError(
            f"expected one file of poses to look at, or two to compare, got {len(files)}; name "
            "two at most"
        )
    from lifting.poses import Poses
    from lifting.visualization.viewer.page import Clip, write_viewer

    clips = [Clip(name, Poses.load(file)) for name, file in zip(_names(files), files, strict=True)]
    page = _page(arguments.output, files[0])
    _check(arguments.video, page)
    write_viewer(page, clips, title=arguments.title)
    console.written(page, f" ({page.stat().st_size / 1e6:.1f} MB), opens in a browser")
    if arguments.video is not None:
        _overlay(arguments, clips[0].poses, page.with_name(VIDEO))
    return 0


def _names(files: Sequence[Path]) -> list[str]:
    """The shortest names that differ: of the files, else of their folders."""
    places = [file.resolve() for file in files]
    parts = [[file.stem, *(up.name for up in file.parents)] for file in places]
    for names in zip(*parts, strict=False):
        if len(set(names)) == len(files):
            return list(names)
    return [str(file) for file in files]


def show_beside(arguments: argparse.Namespace, poses: Path, *, page: bool) -> None:
    """Write the page of a new file of poses beside it, and the video that is asked for.

    Args:
        arguments: With those of :func:`add_video`.
        poses: The file.
        page: Whether the page is wanted.
    """
    if not page and arguments.video is None:
        return
    from lifting.poses import Poses
    from lifting.visualization.viewer.page import Clip, write_viewer

    people = Poses.load(poses)
    if page:
        write_viewer(poses.with_name(PAGE), [Clip(poses.resolve().parent.name, people)])
        console.written(poses.with_name(PAGE), ", opens in a browser")
    if arguments.video is not None:
        _overlay(arguments, people, poses.with_name(VIDEO))


def check_video(arguments: argparse.Namespace, folder: Path) -> None:
    """Whether there is the video to draw over, and what reads it, before long work.

    Raises:
        MissingDataError: There is no such file.
        ConfigError: PyAV is not installed.
        OutputError: It is the file to write.
    """
    _check(arguments.video, folder / PAGE)


def _check(video: Path | None, page: Path) -> None:
    if video is None:
        return
    from lifting.visualization.video import check_video as check

    check(video)
    output = page.with_name(VIDEO)
    if output.exists() and output.samefile(video):
        raise OutputError(
            f"expected a video to draw over that is not the one to write, got {video} for both; "
            "choose another folder with --output"
        )


def _page(output: Path | None, first: Path) -> Path:
    if output is None:
        return first.with_name(PAGE)
    if output.is_dir() or not output.suffix:
        return output / PAGE
    if output.suffix.lower() not in (".html", ".htm"):
        raise OutputError(
            f"expected a page (.html) or a folder for --output, got {output}; name {PAGE}"
        )
    return output


def _overlay(arguments: argparse.Namespace, poses: Poses, output: Path) -> None:
    """Draw poses over a video, and say what was drawn."""
    from lifting.visualization.video import write_overlay

    done = write_overlay(arguments.video, poses, output, matching=arguments.match)
    for note in done.notes:
        console.say(f"  {note}")
    console.written(
        output,
        f" ({done.drawn} of {done.frames} frames have somebody in them, drawn by {done.what})",
    )
