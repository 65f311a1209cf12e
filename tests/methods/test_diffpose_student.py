"""DiffPose's few-step student: consistency distillation, its stage, its answers."""

import math
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lifting.errors import CheckpointError, ConfigError
from lifting.experiment import run as run_module
from lifting.experiment.checkpoint import load_weights, method_config_of, read_checkpoint
from lifting.experiment.load import load_experiment, method_config
from lifting.experiment.panels import PanelsCallback
from lifting.experiment.record import read_record
from lifting.experiment.run import evaluate, train
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.denoiser import AVERAGE_DECAY, Student
from lifting.methods.diffpose.diffusion import (
    beta_schedule,
    cumulative_signal,
    ddim,
)
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.diffpose.sampler import student_levels
from lifting.methods.settings import ModuleSettings, Stage
from lifting.skeleton import H36M_17
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

PLAIN = Config(hidden=16, layers=2, hypotheses=3, dropout=0.0, inner_dropout=0.0)
TAUGHT = replace(PLAIN, student="consistency")


def disturb(module, by=0.1):
    """The module in evaluation mode, with weights that do something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return module.eval()


def make_refiner(config, by=0.1):
    torch.manual_seed(0)
    return disturb(Refiner(config, H36M_17), by)


def make_module(config=TAUGHT, **settings):
    torch.manual_seed(0)
    return disturb(Module(config, ModuleSettings("diffpose", **settings)), 0.02)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


# --- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_steps": -1}, "method.student_steps to be not negative"),
        ({"student_epochs": 0}, "method.student_epochs to be at least 1"),
        ({"student_stride": 0}, "method.student_stride to be at least 1"),
        (
            {"student_steps": 25, "start_level": 24},
            "student_steps to be at most start_level=24",
        ),
        ({"student_stride": 52}, "student_stride to be at most diffusion_steps=51"),
        ({"process": "once"}, "student to be 'none' with process 'once'"),
        ({"process": "stacked"}, "student to be 'none' with process 'stacked'"),
        ({"eta": 0.5}, "eta to be 0 where a student answers"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        Config(student="consistency", **change)


def test_denoiser_beside_a_student_may_do_what_it_may_alone():
    assert not Config(student="consistency", eta=0.5, student_steps=0).asks_student
    assert Config(diffusion_steps=5, start_level=5).student_stride > 5


@pytest.mark.parametrize(
    ("level", "count", "wanted"),
    [(51, 1, (50,)), (51, 2, (24, 50)), (24, 3, (7, 15, 23)), (4, 4, (0, 1, 2, 3))],
)
def test_levels(level, count, wanted):
    assert student_levels(level, count) == wanted


# --- the loss --------------------------------------------------------------------------------


class Gain(nn.Module):
    """Answers a multiple of the state, one for each step."""

    def __init__(self, gains):
        super().__init__()
        self.gains = nn.Parameter(gains.clone())

    def forward(self, x, t):
        return self.gains[t.long()][:, None, None] * x


def best_gains(signal, deviation, prediction="x0"):
    """Of the mean of a unit Gaussian, or of noise of a deviation, in a state of both."""
    share, earlier = signal[1:], signal[:-1]
    clean = share.sqrt() / (share + (1 - share) * deviation**2)
    noise = (1 - share.sqrt() * clean) / (1 - share).sqrt()
    if prediction == "next":
        return earlier.sqrt() * clean + (1 - earlier).sqrt() * noise
    return {"x0": clean, "eps": noise}[prediction]


def clean_gain(gains, signal, prediction):
    """Gain of the clean pose of each step, from that of what is predicted."""
    share, earlier = signal[1:], signal[:-1]
    if prediction == "x0":
        return gains
    if prediction == "eps":
        return (1 - (1 - share).sqrt() * gains) / share.sqrt()
    noise = (1 - share).sqrt()
    before = (1 - earlier).sqrt()
    return (noise * gains - before) / (noise * earlier.sqrt() - before * share.sqrt())


@pytest.mark.parametrize("prediction", ["x0", "eps", "next"])
def test_student_of_a_gaussian_is_the_function_known_in_closed_form(prediction):
    """Of unit Gaussians the path of a state ends at the state over its deviation."""
    deviation, levels = 0.7, 20
    signal = cumulative_signal(beta_schedule("linear", 0.01, 0.25, levels))
    config = replace(
        TAUGHT, diffusion_steps=levels, start_level=levels, student_stride=1, prediction=prediction
    )
    teacher = Gain(best_gains(signal, deviation, prediction))
    student = Student(teacher, config)
    student.begin(teacher)
    optimizer = torch.optim.Adam(student.network.parameters(), lr=1e-2)
    steps, x = torch.arange(levels), torch.ones(levels, 1, 1)
    for i in range(500):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - i / 500)
        loss = student.loss(teacher, lambda n, x, t: n(x, t), x, steps, signal).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        student.follow()
    share = signal[1:]
    wanted = 1 / (share + (1 - share) * deviation**2).sqrt()
    ours, first = (
        clean_gain(network.gains.detach(), signal, prediction)
        for network in (student.network, teacher)
    )
    # The path has twenty straight pieces, which the closed form has not.
    assert (ours - wanted).abs().max() < 0.06
    assert (first - wanted).abs().max() > 0.3
    start = torch.ones(1, 1, 1)
    for level in (4, 19):
        path = ddim(teacher, start, range(level + 1), signal, prediction=prediction)
        end = path.states[-1][0, 0, 0].detach()
        torch.testing.assert_close(ours[level], end, rtol=0, atol=0.01)


@pytest.mark.parametrize("prediction", ["x0", "eps", "next"])
@pytest.mark.parametrize("stride", [1, 5])
def test_loss_of_each_prediction(prediction, stride):
    """Written down sample by sample: one step of the teacher, then the average's clean pose."""
    torch.manual_seed(0)
    config = replace(TAUGHT, prediction=prediction, student_stride=stride)
    signal = cumulative_signal(beta_schedule("linear", 1e-4, 0.2, 51))
    networks = [Gain(0.5 + torch.rand(51)) for _ in range(3)]
    student = Student(networks[0], config)
    student.network, student.average = networks[1], networks[2]
    x, steps = torch.randn(5, 17, 3), torch.tensor([0, 3, 5, 20, 50])
    got = student.loss(networks[0], lambda n, x, t: n(x, t), x, steps, signal)
    a = signal.double().tolist()  # entry t + 1 is that of step t

    def ends(network, x, t):
        share, earlier = a[t + 1], a[t]
        answer = network.gains[t].item() * x
        if prediction == "x0":
            clean = answer
        elif prediction == "eps":
            clean = (x - math.sqrt(1 - share) * answer) / math.sqrt(share)
        else:  # x and the answer are sums of the same clean pose and noise
            mixed = torch.tensor(
                [[math.sqrt(share), math.sqrt(1 - share)],
                 [math.sqrt(earlier), math.sqrt(1 - earlier)]], dtype=torch.float64,
            )  # fmt: skip
            clean = torch.linalg.solve(mixed, torch.stack((x, answer)).flatten(1))[0].view_as(x)
        return clean, (x - math.sqrt(share) * clean) / math.sqrt(1 - share)

    for i, t in enumerate(steps.tolist()):
        state = x[i].double()
        clean, noise = ends(networks[0], state, t)
        before = t - stride
        wanted = clean
        if before >= 0:
            below = math.sqrt(a[before + 1]) * clean + math.sqrt(1 - a[before + 1]) * noise
            wanted = ends(networks[2], below, before)[0]
        square = (ends(networks[1], state, t)[0] - wanted).square().sum(-1)
        torch.testing.assert_close(got[i], square.float(), rtol=2e-3, atol=1e-4)


def test_only_the_student_gets_a_gradient_and_its_average_follows():
    refiner = make_refiner(TAUGHT)
    student = refiner.student
    uv, xyz = torch.rand(4, 17, 2), 0.3 * torch.randn(4, 17, 3)
    refiner.student_loss(uv, xyz).backward()
    reached = {k.split(".")[0] for k, p in refiner.named_parameters() if p.grad is not None}
    assert reached == {"student"}
    assert all(p.grad is None for p in student.average.parameters())
    before = [p.clone() for p in student.average.parameters()]
    student.follow()
    for old, new, goal in zip(
        before, student.average.parameters(), student.network.parameters(), strict=True
    ):
        torch.testing.assert_close(new, AVERAGE_DECAY * old + (1 - AVERAGE_DECAY) * goal)


def test_labels_that_are_not_valid_do_not_count():
    refiner = make_refiner(TAUGHT)
    uv, xyz = torch.rand(4, 17, 2), 0.3 * torch.randn(4, 17, 3)
    visible = torch.ones(4, 17, dtype=torch.bool)
    losses = []
    for shown in (None, visible, visible.clone().fill_(False)):
        torch.manual_seed(0)
        losses.append(refiner.student_loss(uv, xyz, shown).item())
    assert losses[0] == losses[1] > 0
    assert losses[2] == 0


FORMS = {
    "default": TAUGHT,
    "uvxyz": replace(TAUGHT, representation="uvxyz", conditioning="none", centre="origin"),
    "paper": replace(
        TAUGHT, forward_noise="gmm", mixture="synthetic", init="mixture", conditioning="add",
        conditioning_on="feature",
    ),
    "statistics": replace(
        TAUGHT, forward_noise="gmm", depth="statistics", init="mixture",
        conditioning="cross_attention", prediction="next",
    ),
    "released": replace(
        TAUGHT, representation="uvxyz", conditioning="none", centre="origin", uv_scale=0.5,
        xyz_scale=1.0, beta_end=1e-3, prediction="eps", init="context_point", start_level=24,
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_a_student(form, make_batch, without_trainer):
    module, batch = without_trainer(make_module(FORMS[form])), make_batch()
    module.begin_stage(module.stages()[-1])
    module.train()
    loss = module.training_step(batch, 0)
    loss.backward()
    reached = {
        ".".join(k.split(".")[1:3]) for k, p in module.named_parameters() if p.grad is not None
    }
    assert reached == {"student.network"}
    assert loss.item() > 0
    with torch.no_grad():
        answer = module.eval().predict(batch)
    assert answer.hypotheses.shape == (8, 3, 1, 17, 3)
    assert answer.joints_3d.isfinite().all()


def test_student_learns_where_the_path_ends():
    """On few poses, briefly: one call comes near the teacher's answer of many."""
    torch.manual_seed(0)
    config = replace(
        TAUGHT, diffusion_steps=12, start_level=12, sampling_steps=3, student_stride=4,
        beta_start=0.02, beta_end=0.7, xyz_scale=0.2,
    )  # fmt: skip
    refiner = Refiner(config, H36M_17)
    uv = 0.5 * torch.randn(16, 17, 2)
    depth = 0.1 * torch.randn(16, 17, 1)
    xyz = torch.cat((0.5 * uv, depth), dim=-1)
    xyz = xyz - xyz[:, :1]

    def fit(network, loss, steps):
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for i in range(steps):
            optimizer.param_groups[0]["lr"] = 3e-3 * (1 - i / steps)
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
            refiner.student.follow()

    fit(refiner.denoiser, lambda: refiner.loss(uv, xyz), 60)
    refiner.eval()
    refiner.student.begin(refiner.denoiser)
    answers = {}
    for name, by_student in (("teacher", False), ("before", True), ("after", True)):
        if name == "after":
            fit(refiner.student.network, lambda: refiner.student_loss(uv, xyz), 80)
        refiner.by_student = by_student
        with torch.no_grad():
            answers[name] = refiner.sample(uv, 0).hypotheses
    gap = {k: (v - answers["teacher"]).norm(dim=-1).mean().item() for k, v in answers.items()}
    error = {k: (v.mean(0) - xyz).norm(dim=-1).mean().item() for k, v in answers.items()}
    assert gap["after"] < 0.65 * gap["before"]
    assert error["after"] < 1.01 * error["teacher"]


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_one_call_of_the_student_alone_serves_all_hypotheses(steps):
    refiner = make_refiner(replace(TAUGHT, student_steps=steps, hypotheses=4))
    calls = []
    for name, network in (("student", refiner.student.network), ("teacher", refiner.denoiser)):
        network.register_forward_pre_hook(
            lambda _, inputs, name=name: calls.append((name, len(inputs[0]), inputs[1].item()))
        )
    with torch.no_grad():
        refiner.sample(torch.rand(5, 17, 2), 0)
    levels = {1: [50], 3: [50, 33, 16]}[steps]
    assert calls == [("student", 20, float(level)) for level in levels]


@pytest.mark.parametrize("prediction", ["x0", "eps", "next"])
def test_student_goes_down_as_the_denoiser_does(prediction):
    """The same weights at the same levels with the same noise give the same answer."""
    config = replace(TAUGHT, diffusion_steps=4, start_level=4, sampling_steps=4, student_steps=4,
                     student_stride=1, beta_start=0.1, prediction=prediction)  # fmt: skip
    refiner, uv = make_refiner(config, by=0.05), torch.rand(5, 17, 2)
    refiner.student.begin(refiner.denoiser)
    answers = []
    for refiner.by_student in (True, False):
        with torch.no_grad():
            answers.append(refiner.sample(uv, 0).hypotheses)
    assert torch.equal(*answers)
    spread = answers[0].std(dim=0)[:, 1:].mean()
    assert spread > 1e-3


def test_a_student_changes_nothing_else():
    """Networks start the same with and without, and the denoiser's answer is the same."""
    refiners, uv = [], torch.rand(5, 17, 2)
    for config in (PLAIN, replace(TAUGHT, student_steps=0)):
        torch.manual_seed(0)
        refiners.append(Refiner(config, H36M_17))
        refiners.append(torch.rand(1))
    plain, following, taught, after = refiners
    assert torch.equal(following, after)
    assert not [k for k in plain.state_dict() if "student" in k]
    for network in (plain, taught):
        with torch.no_grad():
            network.denoiser.output.weight.fill_(0.01)
    assert same(plain.context, taught.context)
    assert same(plain.denoiser, taught.denoiser)
    with torch.no_grad():
        answers = [r.eval().sample(uv, 0).hypotheses for r in (plain, taught)]
    assert torch.equal(*answers)


@pytest.mark.parametrize("latent", ["conditioning", "noise"])
def test_students_answer_can_be_optimised(latent, make_batch):
    module, batch = make_module(replace(TAUGHT, tto_latent=latent), flip_test=True), make_batch()
    latents = {k: v.clone().requires_grad_() for k, v in module.encode(batch).items()}
    pose = module.decode(latents, batch).pose
    (gradient,) = torch.autograd.grad(pose[2].square().sum(), list(latents.values()))
    assert gradient[2].norm(dim=-1).min() > 0
    assert (gradient[torch.arange(8) != 2] == 0).all()
    with torch.no_grad():
        answer = module.infer(batch).joints_3d
    config = TtoConfig(lr=1e-4, iterations=3, weight_anchor=5e-4)
    result = refine(module, batch, config, flip=True)
    torch.testing.assert_close(result.start, answer, rtol=1e-5, atol=1e-2)
    assert (result.after < result.before).all()


@pytest.mark.parametrize("how", ["mean", "median", "best_joint", "best_pose", "posterior"])
def test_students_hypotheses_are_aggregated(how, make_batch):
    with torch.no_grad():
        answer = make_module(replace(TAUGHT, aggregation=how)).predict(make_batch())
    low, high = answer.hypotheses.amin(1), answer.hypotheses.amax(1)
    assert ((answer.joints_3d >= low - 1e-2) & (answer.joints_3d <= high + 1e-2)).all()
    assert (answer.sigma[..., 1:] > 0).all()


# --- the stage -------------------------------------------------------------------------------


def test_stages():
    context, denoiser, student = Stage("context", 3), Stage("train"), Stage("distil", 2)
    config = replace(TAUGHT, context_epochs=3, student_epochs=2)
    assert make_module(config).stages() == (context, denoiser, student)
    assert make_module(replace(config, context_epochs=0)).stages() == (denoiser, student)
    given = make_module(replace(config, context_checkpoint="a.ckpt"))
    assert given.stages() == (denoiser, student)
    given.begin_stage(student)  # the context encoder is the one that was trained with by now
    assert make_module(replace(config, student="none")).stages() == (context, denoiser)


def test_each_stage_trains_its_own_network_and_validates_it():
    module = make_module(replace(TAUGHT, context_frozen=False))
    network, student = module.network, module.network.student
    parts = {
        "context": network.context,
        "train": network.denoiser,
        "distil": student.network,
        "average": student.average,
    }
    for stage in module.stages():
        module.begin_stage(stage)
        module.train()
        learning = {
            k for k, part in parts.items() if any(p.requires_grad for p in part.parameters())
        }
        wanted = {stage.name} | ({"context"} if stage.name == "train" else set())
        assert learning == wanted
        assert network.by_student == (stage.name == "distil")
        if stage.name == "distil":
            assert same(student.network, network.denoiser)
            assert same(student.average, network.denoiser)
            assert not any(part.training for part in network.modules())
        else:
            assert not same(student.network, network.denoiser)


def test_student_that_never_answers_is_not_trained():
    module = make_module(replace(TAUGHT, student_steps=0))
    with pytest.raises(ConfigError, match="student_steps of at least 1 in training, got 0"):
        module.on_fit_start()


def test_student_that_was_not_trained_does_not_answer():
    module = make_module()
    with pytest.raises(CheckpointError, match="weights after the stage 'distil'"):
        module.setup("predict")
    make_module(replace(TAUGHT, student_steps=0)).setup("predict")
    module.begin_stage(module.stages()[-1])
    module.setup("predict")


TINY = (
    "method.hidden=8", "method.layers=1", "method.heads=2", "method.context_epochs=1",
    "trainer.max_epochs=1", "method.student_epochs=2", "trainer.check_val_every=1",
    "trainer.limit_train_batches=3", "data.batch_size=16", "data.eval_batch_size=64",
    "data.synthetic.train_sequences=1", "data.synthetic.val_sequences=1",
    "data.synthetic.test_sequences=1", "data.synthetic.sequence_frames=20",
    "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress=false",
    "wandb.mode=disabled", "panels.worst=0", "pss=[]",
)  # fmt: skip


class Killed(BaseException):
    pass


class KillDuring(pl.Callback):
    """Ends a training abruptly at a step of the student's stage."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.stage.name == "distil" and trainer.global_step == self.step:
            raise Killed


@pytest.fixture(scope="module", autouse=True)
def _undrawn():
    """Charts cost as much as all else of such a run, and say nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_draw_bars", "on_fit_end"):
            patch.setattr(PanelsCallback, name, lambda *_: None)
        yield


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Makes a tiny experiment; all share their data."""
    folder = tmp_path_factory.mktemp("student")
    fixed = [*TINY, f"output={folder / 'outputs'}", f"data.cache={folder / 'cache'}"]

    def make(*overrides):
        return load_experiment("diffpose", [*fixed, *overrides])

    return make


@pytest.fixture(scope="module")
def trained(experiment):
    """A run with a student."""
    return train(experiment("method.student=consistency", "run=whole"))


def weights(run, name):
    return torch.load(run.run_dir / "checkpoints" / name, weights_only=True)["state_dict"]


def test_teacher_is_that_of_a_run_without_student(experiment, trained):
    plain = train(experiment("run=plain"))
    alone, taught = weights(plain, "last.ckpt"), weights(trained, "train/last.ckpt")
    assert alone
    for name, value in alone.items():
        assert torch.equal(value, taught[name]), name
    best = weights(trained, "best.ckpt")
    teacher = weights(trained, "train/best.ckpt")
    assert all(torch.equal(best[k], v) for k, v in teacher.items() if "student" not in k)
    assert any(not torch.equal(best[k], v) for k, v in teacher.items() if "student" in k)
    # Weights of the one do not fit the other, and the error says which are missing.
    checkpoint = read_checkpoint(plain.checkpoint, "diffpose")
    with pytest.raises(CheckpointError, match=r"network\.student\.\S+ is missing"):
        load_weights(make_module(replace(TAUGHT, hidden=8, layers=1, heads=2)), checkpoint,
                     plain.checkpoint)  # fmt: skip


def test_resuming_the_students_stage_ends_with_the_same_bits(experiment, trained, monkeypatch):
    original = run_module.build_trainer

    def with_kill(*args, callbacks=(), **options):
        return original(*args, callbacks=[*callbacks, KillDuring(5)], **options)

    cut = experiment("method.student=consistency", "run=cut")
    monkeypatch.setattr(run_module, "build_trainer", with_kill)
    with pytest.raises(Killed):
        train(cut)
    monkeypatch.setattr(run_module, "build_trainer", original)
    (folder,) = trained.run_dir.parent.glob("*-cut")
    resumed = train(cut, resume=folder)
    for name in ("best.ckpt", "last.ckpt", "train/best.ckpt"):
        whole, again = weights(trained, name), weights(resumed, name)
        assert all(torch.equal(value, again[k]) for k, value in whole.items()), name
    assert resumed.scores == trained.scores


def test_student_and_teacher_of_a_checkpoint(experiment, trained):
    """Steps are an override of a test; before the student learns, the denoiser answers."""
    student = method_config_of(read_checkpoint(trained.checkpoint, "diffpose"))
    assert method_config(student).asks_student
    scores = {
        steps: evaluate(
            experiment("method.student=consistency", f"method.student_steps={steps}"),
            trained.checkpoint,
        ).scores["test/mpjpe_mm"]
        for steps in (0, 1, 2)
    }
    assert scores[1] == trained.scores["test/mpjpe_mm"]
    assert len(set(scores.values())) == 3
    for steps in (0, 1):
        before = evaluate(
            experiment("method.student=consistency", f"method.student_steps={steps}"),
            trained.run_dir / "checkpoints" / "train" / "best.ckpt",
        )
        assert before.scores["test/mpjpe_mm"] == scores[0]
    first = evaluate(
        experiment("method.student=consistency"),
        trained.run_dir / "checkpoints" / "context" / "best.ckpt",
    )
    record = read_record(first.run_dir / "result.json")
    assert (record.extras["answering"], record.extras["stage"]) == ("context encoder", "context")
