"""``lifting data``: which data sets there are, whether their files are good, and making them."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifting.cli.options import ENDINGS, add_experiment, all_overrides, picture
from lifting.experiment.console import console

VERDICT_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb ``data`` to the command line.

    Args:
        subparsers: Where the verbs are collected.
    """
    parser = subparsers.add_parser(
        "data", help="list, describe, check, fetch and prepare data sets", description=__doc__
    )
    parser.set_defaults(handler=handle)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the data sets, and whether their files are found")
    for name, text in (
        ("describe", "content, place, terms and credit of a data set"),
        ("check", "look at the files of a data set; exit status 1 when they are unfit"),
        ("prepare", "make a data set's file from source files"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("name", metavar="NAME", help="data set, see `lifting data list`")
        if name == "check":
            action.add_argument("--root", metavar="DIR", help="folder of the files")
        if name == "prepare":
            action.add_argument("--source", metavar="DIR", type=Path, required=True,
                                help="folder of the source files")  # fmt: skip
            action.add_argument("--output", metavar="PATH", type=Path,
                                help="file (.npz) or folder to write; never replaced")  # fmt: skip
            action.add_argument("--map", metavar="FILE", type=Path, dest="joint_map",
                                help="which names of BVH files are the joints, JSON or TOML: "
                                     '{"left_hip": "LeftUpLeg", ...}')  # fmt: skip
    _register_fetch(actions)
    _register_look(actions)
    drawn = actions.add_parser("picture", help="draw a contact sheet of a data set's poses")
    drawn.add_argument("name", metavar="NAME", help="data set, see `lifting data list`")
    drawn.add_argument("--output", metavar="FILE", type=picture, required=True, help=ENDINGS)
    drawn.add_argument("--split", choices=("train", "val", "test"), default="train")
    drawn.add_argument("--poses", metavar="N", type=int, default=80, help="poses drawn")
    drawn.add_argument("--root", metavar="DIR", help="folder of the files")
    fit = actions.add_parser(
        "fit-pss", help="fit the clusters of the pose structure score to training labels"
    )
    fit.add_argument("name", metavar="NAME", help="data set, see `lifting data list`")
    fit.add_argument("--output", metavar="FILE", type=Path, required=True, help="a .npz file")
    fit.add_argument("--clusters", metavar="K", type=int, default=50, help="customary: 50, 100")
    fit.add_argument("--every", metavar="N", type=int, default=64, help="use every n-th frame")
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--root", metavar="DIR", help="folder of the files")
    _register_mixtures(actions)


def _register_look(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    look = actions.add_parser(
        "look",
        help="what a keypoint file is: format, joints, people, frames; exit status 2 when it "
        "cannot be lifted",
    )
    look.add_argument("file", metavar="FILE_OR_FOLDER", type=Path)
    look.add_argument("--skeleton", help="order of the joints, where the file leaves it open")
    look.add_argument("--image-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"),
                      help="pixels of the video, where the file does not say")  # fmt: skip
    look.add_argument("--max-size", type=float, metavar="MB", help="largest file read (256)")
    look.add_argument("--picture", metavar="FILE", type=picture, help="draw three frames into it")


def _register_mixtures(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mixtures = actions.add_parser(
        "mixtures", help="make the 2D mixtures of an experiment's data, for data.mixtures=FILE"
    )
    add_experiment(mixtures)
    mixtures.add_argument("--source", choices=("confidence", "synthetic", "heatmap"),
                          default="heatmap", help="where they come from (heatmap)")  # fmt: skip
    mixtures.add_argument("--output", metavar="FILE", type=Path, required=True,
                          help="a .npz file")  # fmt: skip
    mixtures.add_argument("--kernels", metavar="M", type=int, default=5,
                          help="Gaussians fitted to a heatmap (5)")  # fmt: skip
    mixtures.add_argument("--heatmaps", metavar="DIR", type=Path,
                          help="a detector's own maps; else they are drawn")  # fmt: skip
    mixtures.add_argument("--splits", nargs="+", choices=("train", "val", "test"),
                          default=("train", "val", "test"), help="parts (all)")  # fmt: skip
    mixtures.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    mixtures.add_argument("--seed", type=int, default=0)


def _register_fetch(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fetch = actions.add_parser("fetch", help="download a data set that anyone may fetch: cmu")
    fetch.add_argument("name", metavar="NAME", help="data set, see `lifting data list`")
    fetch.add_argument("--subjects", metavar="LIST", default="",
                       help="such as 1,5-7, or all; five subjects when not given")  # fmt: skip
    fetch.add_argument("--output", metavar="DIR", type=Path, help="folder to write to")
    fetch.add_argument("--url", metavar="URL", help="a mirror of the data set's server")


def handle(args: argparse.Namespace) -> int:
    """Run one action of the verb.

    Args:
        args: What the command line said.

    Returns:
        Exit status: 1 when a check failed, 2 for keypoints that cannot be lifted, else 0.
    """
    if args.action == "check":
        return _check(args)
    if args.action == "picture":
        return _picture(args)
    if args.action == "fit-pss":
        return _fit_pss(args)
    if args.action == "look":
        return _look(args)
    if args.action == "fetch":
        return _fetch(args)
    if args.action == "mixtures":
        return _mixtures(args)
    from lifting.data import describe

    if args.action == "list":
        rows = [(r.name, r.summary, r.files, r.state) for r in describe.list_datasets()]
        console.table("data sets", ("name", "what", "files", "state"), rows, left=4)
    elif args.action == "describe":
        console.facts(f"data set {args.name}", describe.describe(args.name))
    else:
        facts = dict(describe.prepare(args.name, args.source, args.output, args.joint_map))
        written = facts.pop("written", None)
        console.facts(f"prepared {args.name}", facts.items())
        if written is not None:
            console.written(Path(written))
    return 0


def _check(args: argparse.Namespace) -> int:
    """Look at a data set's files and say what to do about what is wrong."""
    from lifting.data.doctor.check import check
    from lifting.experiment.load import load_data

    data, file = load_data(args.name, args.root)
    print(f"options as in {file}")
    checks = check(data)
    rows = [(row.verdict, row.what, row.expected, row.found, row.advice) for row in checks]
    columns = ("verdict", "what", "expected", "found", "what to do")
    console.table(f"check of {args.name}", columns, rows, left=5, styles=VERDICT_STYLES)
    return 1 if any(row.verdict == "fail" for row in checks) else 0


def _look(args: argparse.Namespace) -> int:
    """Describe a keypoint file, and draw some of it."""
    import sys

    from lifting.data.keypoints.look import look, sampled_rows
    from lifting.files.checks import Size

    size = (float(args.image_size[0]), float(args.image_size[1])) if args.image_size else None
    found = look(args.file, args.skeleton, size, Size.of(args.max_size))
    if found.facts:
        console.facts(str(args.file), found.facts.items())
    if args.picture is not None and found.people is not None and found.track is not None:
        from lifting.visualization.skeleton_plot import frames_figure
        from lifting.visualization.style import save_figure

        people = found.people
        frames = [
            (people.frames[int(people.frame[rows[0]])], people.joints[rows],
             [str(t) for t in found.track[rows]])
            for rows in sampled_rows(found)
        ]  # fmt: skip
        figure = frames_figure(frames, people.skeleton, people.claims.image_size or size)
        save_figure(figure, args.picture)
        console.written(args.picture)
    if found.problem is not None:
        console.values(problem=found.problem)
        print(f"cannot be lifted as it is: {found.problem}", file=sys.stderr)
        return 2
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Download, telling of each subject."""
    from lifting.data.describe import fetch

    facts = fetch(
        args.name,
        subjects=args.subjects,
        output=args.output,
        url=args.url,
        progress=lambda line: print(line, flush=True),
    )
    console.facts(f"fetched {args.name}", facts)
    return 0


def _picture(args: argparse.Namespace) -> int:
    """Draw a split: its pictures where it has some, else poses, each turned to face the viewer."""
    import torch

    from lifting.atomic import replacing
    from lifting.data.sets import find_set
    from lifting.data.sources import load_tracks
    from lifting.experiment.load import load_data
    from lifting.visualization.sheets import contact_sheet, image_sheet, save_image_sheet
    from lifting.visualization.style import save_figure

    data, _ = load_data(args.name, args.root)
    sheet = find_set(data.name).fact("sheet")
    tracks = load_tracks(
        data if sheet is None else sheet(data, args.split, args.poses), args.split
    )
    rows = torch.linspace(0, len(tracks) - 1, args.poses).long()
    if tracks.image is not None:
        shown = tracks.image if sheet is not None else tracks.image[rows]
        with replacing(args.output) as temporary:
            save_image_sheet(temporary, image_sheet(shown.numpy()))
    else:
        owner = torch.searchsorted(tracks.offsets, rows, right=True) - 1
        figure = contact_sheet(
            tracks.labels()[rows],
            tracks.skeleton,
            frame="camera",
            labels=[tracks.action_names[i] for i in tracks.action[owner].tolist()],
            title=f"{args.name}, {args.split}: {args.poses} of {len(tracks)} frames",
        )
        save_figure(figure, args.output)
    console.written(args.output)
    return 0


def _fit_pss(args: argparse.Namespace) -> int:
    """Fit pose clusters on the training split and write them."""
    from lifting.batch import root_relative
    from lifting.data.sources import load_tracks
    from lifting.experiment.load import load_data
    from lifting.metrics.clusters import fit_pss

    tracks = load_tracks(load_data(args.name, args.root)[0], "train")
    skeleton = tracks.skeleton
    clusters = fit_pss(
        root_relative(tracks.labels()[:: args.every], skeleton.root),
        args.clusters,
        joint_names=skeleton.joints,
        root=skeleton.joints[skeleton.root],
        seed=args.seed,
        dataset=args.name,
        subset=f"every {args.every}th frame of each camera",
    )
    clusters.save(args.output)
    facts = [
        ("clusters", str(len(clusters))),
        ("training poses", str(clusters.n_train)),
        ("fingerprint", clusters.fingerprint),
    ]
    console.facts("pose clusters", facts)
    console.written(args.output)
    return 0


def _mixtures(args: argparse.Namespace) -> int:
    """Make the mixtures of an experiment's splits and write them."""
    from dataclasses import replace
    from functools import partial

    from rich.progress import Progress

    from lifting.data.config import Split
    from lifting.data.mixture_file import (
        MixtureOptions,
        MixtureSet,
        make_mixtures,
        write_mixture_file,
    )
    from lifting.data.sources import load_tracks
    from lifting.experiment.load import load_experiment

    data = replace(load_experiment(args.experiment, all_overrides(args)).data, mixtures=None)
    options = MixtureOptions(args.source, args.kernels, args.heatmaps, args.device, args.seed)
    parts: dict[Split, MixtureSet] = {}
    with Progress(transient=True) as bar:
        for split in args.splits:
            tracks = load_tracks(data, split)
            task = bar.add_task(f"{split} frames", total=len(tracks))
            advance = partial(bar.advance, task)
            parts[split] = make_mixtures(tracks, options, advance)
    write_mixture_file(args.output, parts, tracks.skeleton)
    facts = [("source", parts[args.splits[0]].source)]
    facts += [(split, f"{len(part.mixtures)} frames") for split, part in parts.items()]
    console.facts("2D mixtures", facts)
    console.written(args.output)
    return 0
