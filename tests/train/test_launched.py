import os
import shlex
from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.train.launched import (
    Launched,
    launched_local_rank,
    launched_rank,
    launched_size,
    launched_strategy,
    remarks,
)

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"
STRATEGIES = {
    "cpu": Launched(),
    "ddp": Launched(),
    "multi_node": Launched(),
    "fsdp2": Launched("fully_sharded"),
    "deepspeed": Launched("zero", zero_stage=2),
}
VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.fixture(name="launcher", autouse=True)
def _launcher(monkeypatch):
    """Sets what a launcher would; nothing is set before."""
    for name in list(os.environ):
        if name in VARIABLES or name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(name)

    def launcher(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launcher


def test_without_a_launcher_there_is_one_process_that_holds_the_whole_model():
    assert (launched_rank(), launched_local_rank(), launched_size(), remarks()) == (0, 0, 1, ())
    assert launched_strategy() == Launched("replicated")


def test_the_launcher_says_which_process_this_is(launcher):
    launcher(RANK="3", LOCAL_RANK="1", WORLD_SIZE="4")
    assert (launched_rank(), launched_local_rank(), launched_size()) == (3, 1, 4)


def test_what_the_launcher_asks_for_in_vain_is_told(launcher):
    launcher(ACCELERATE_USE_CPU="True", MASTER_ADDR="127.0.0.1", ACCELERATE_MIXED_PRECISION="bf16")
    cpu, mixed = remarks()
    assert "--cpu has started a single process" in cpu
    assert "mixed_precision: bf16 is not used; the command's precision=" in mixed
    launcher(WORLD_SIZE="2", ACCELERATE_MIXED_PRECISION="no", ACCELERATE_DYNAMO_BACKEND="NO")
    assert remarks() == ()
    launcher(ACCELERATE_GRADIENT_ACCUMULATION_STEPS="4", ACCELERATE_GRADIENT_CLIPPING="1.0")
    assert [remark.split(" is not used")[0] for remark in remarks()] == [
        "the launcher's gradient_accumulation_steps: 4",
        "the launcher's gradient_clipping: 1.0",
    ]


@pytest.mark.parametrize(("said", "reshard"), [({}, True), ("true", True), ("False", False)])
def test_fsdp_2_is_taken_from_the_launcher(launcher, said, reshard):
    launcher(**FSDP2, **({"FSDP_RESHARD_AFTER_FORWARD": said} if said else {}))
    assert launched_strategy() == Launched("fully_sharded", reshard)


def test_what_fsdp_cannot_do_here_is_refused_all_at_once(launcher):
    launcher(ACCELERATE_USE_FSDP="true", FSDP_VERSION="1", FSDP_OFFLOAD_PARAMS="true")
    launcher(FSDP_ACTIVATION_CHECKPOINTING="True", FSDP_RESHARD_AFTER_FORWARD="FULL_SHARD")
    with pytest.raises(UsageError) as caught:
        launched_strategy()
    message = str(caught.value)
    assert "4 problems" in message
    assert "fsdp_config.fsdp_version: expected 2, got 1; fix: set it to 2" in message
    assert "fsdp_reshard_after_forward: expected true or false, got FULL_SHARD" in message
    assert "fsdp_offload_params: expected false or" in message
    assert "add gradient_checkpointing=true to the command" in message


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_is_taken_from_the_launcher(launcher, stage):
    launcher(ACCELERATE_USE_DEEPSPEED="true", ACCELERATE_DEEPSPEED_ZERO_STAGE=str(stage))
    launcher(ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE="none")
    assert launched_strategy() == Launched("zero", zero_stage=stage)


def test_what_deepspeed_cannot_do_here_is_refused_all_at_once(launcher):
    launcher(ACCELERATE_USE_DEEPSPEED="true", ACCELERATE_DEEPSPEED_ZERO_STAGE="0")
    launcher(ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE="cpu", ACCELERATE_DEEPSPEED_CONFIG_FILE="z.json")
    with pytest.raises(UsageError) as caught:
        launched_strategy()
    message = str(caught.value)
    assert "deepspeed_config.zero_stage: expected 2 or 1 or 3, got 0" in message
    assert "deepspeed_config.offload_param_device: expected none, got cpu; fix: take more devices" in message
    assert "deepspeed_config_file: expected none, got z.json" in message


@pytest.mark.parametrize("name", ["USE_MEGATRON_LM", "USE_PARALLELISM_CONFIG"])
def test_other_ways_to_divide_a_model_are_refused(launcher, name):
    launcher(**{f"ACCELERATE_{name}": "true"})
    with pytest.raises(UsageError, match="got true; fix: "):
        launched_strategy()


# -- the configurations that come along


def command_of(path):
    """The command that a file opens with, as words; it goes over lines by backslashes."""
    lines = [line.removeprefix("#") for line in path.read_text().splitlines() if line.startswith("#")]
    told = "\n".join(lines)
    start = told.index("accelerate launch")
    return shlex.split(told[start : told.index("\n\n", start)].replace("\\\n", " "))


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.iterdir()))
def test_accelerate_reads_a_configuration_and_leaves_what_is_done_here(launcher, name):
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    program, verb, *options = command_of(CONFIGS / f"{name}.yaml")
    assert (program, verb, options[:2]) == (
        "accelerate",
        "launch",
        ["--config_file", f"configs/accelerate/{name}.yaml"],
    )
    options[1] = str(CONFIGS / f"{name}.yaml")
    args, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(options))
    assert (args.module, args.training_script, args.training_script_args[0]) == (True, "ramekin", "train")
    assert args.num_processes > 1 and not args.cpu
    args.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
    left = prepare_deepspeed_cmd_env(args)[1] if args.use_deepspeed else prepare_multi_gpu_env(args)
    launcher(**{key: value for key, value in left.items() if key not in os.environ})
    assert launched_strategy() == STRATEGIES[name]
    assert remarks() == ()


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_command_of_a_configuration_is_one(name):
    from ramekin.recipes.compose import compose
    from ramekin.recipes.schema import TrainConfig

    words = command_of(CONFIGS / f"{name}.yaml")
    compose("train", TrainConfig, words[words.index("train") + 1 :])
