"""The recipe behind `ramekin serve`: models by name, an application around them, and their end."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, final

from ramekin.errors import UsageError
from ramekin.recipes.memory import free_bytes, longest_input
from ramekin.recipes.models import check_named, locate_config, locate_tokenizer
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.serve_schema import ServeConfig, public_name, served_names, token_of
from ramekin.serve.limits import Limits

if TYPE_CHECKING:
    import socket

    from ramekin.serve.security import Access
    from ramekin.serve.service import Model, Service

__all__ = ["Ready", "plan", "prepare", "serve"]


@final
@dataclass(frozen=True)
class Ready:
    """All that is needed to serve."""

    service: "Service"
    access: "Access"
    listening: "socket.socket"

    def outcome(self) -> Outcome:
        """The address and the models."""
        from ramekin.serve.server import address

        url, names = address(self.listening), list(self.service.models)
        return Outcome(
            {"url": url, "models": names, "token": self.access.token is not None},
            f"serving {', '.join(names)} at {url}/v1 (Ctrl-C stops)",
        )


def plan(config: ServeConfig) -> Outcome:
    """What would be served, and the limits; no weights are loaded, and nothing listens."""
    places, silent = places_of(config), SilentProgress()
    access = _access(config)
    folders = {
        served: locate_config(name, places, silent, base=config.base)
        for served, name in zip(served_names(config), config.model_names, strict=True)
    }
    limits = asdict(config.limits)
    values: dict[str, Any] = {
        "models": [{"name": name, "folder": str(folder)} for name, folder in folders.items()],
        "host": config.host,
        "port": config.port,
        "token": access.token is not None,
        "hosts": None if access.hosts is None else sorted(access.hosts),
        "origins": sorted(access.origins),
        "limits": limits,
    }
    told = "any" if access.hosts is None else ", ".join(sorted(access.hosts))
    lines = [
        f"would serve at http://{config.host}:{config.port}/v1:",
        *(f"  {name}: {folder}" for name, folder in folders.items()),
        f"a token is {'needed' if access.token is not None else 'not needed'}; it answers to: {told}",
        "limits:",
        *(f"  {name} = {value:g}" if isinstance(value, float) else f"  {name} = {value}"
          for name, value in limits.items()),
    ]  # fmt: skip
    return Outcome(values, "\n".join(lines))


def prepare(config: ServeConfig, progress: AbstractProgress) -> Ready:
    """Load the models; the address is taken first, so that one that is in use is told at once.

    Raises:
        UsageError: other machines could reach the server, and there is no token.
        ResourceError: the address is in use.
        WeightsError: a model cannot be loaded.
    """
    from ramekin.serve.server import bind
    from ramekin.serve.service import Service

    access = _access(config)
    listening = bind(config.host, config.port)
    try:
        for name in config.model_names:
            check_named(name, places_of(config))
        set_threads(config.threads)
        device = pick_device(config.device)
        models = _models(config, device, progress)
        pair_bytes = max(model.engine.pair_bytes for model in models)
        limits = _fitting(config.limits, pair_bytes, free_bytes(device), progress)
        return Ready(Service(models, limits), access, listening)
    except BaseException:
        listening.close()
        raise


def serve(
    ready: Ready,
    *,
    on_ready: Callable[[], None],
    on_line: Callable[[str], None],
    access_log: bool = True,
) -> Outcome:
    """Serve until a signal comes.

    Args:
        ready: what is served.
        on_ready: called when requests are taken.
        on_line: told of each request, and of the end.
        access_log: whether it is told of each request.
    """
    from ramekin.serve.app import create_app
    from ramekin.serve.server import Server

    app = create_app(ready.service, ready.access, on_access=on_line if access_log else None)

    def stopping(count: int) -> None:
        grace = f"{ready.service.limits.grace_seconds:g} s"
        on_line(f"stopping: {count} open requests have {grace} to end; another signal stops at once")

    ended = Server(app, ready.service, ready.listening, on_ready=on_ready, on_stopping=stopping).run()
    left = f", {ended.given_up} given up" if ended.given_up else ""
    return Outcome(
        {"requests": ended.requests, "given_up": ended.given_up, "left_behind": ended.left_behind},
        f"stopped: {ended.requests} requests answered{left}",
    )


def _access(config: ServeConfig) -> "Access":
    """Who may ask, by the configuration.

    Raises:
        UsageError: the extra is not installed, the token is refused, or there is none where one is needed.
    """
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise UsageError(f"serving needs {', '.join(missing)}", fix="pip install 'ramekin[serve]'")
    from ramekin.serve.security import Access, check_token

    found = token_of(config)
    token = None if found is None else check_token(found[0], where=found[1])
    return Access.of_bind(config.host, hosts=config.hosts, origins=config.origins, token=token)


def _fitting(limits: Limits, pair_bytes: int, free: int | None, progress: AbstractProgress) -> Limits:
    """The limits, with inputs no longer than there is memory for: one request could end the server."""
    if not pair_bytes or free is None:
        return limits
    longest = longest_input(pair_bytes, free)
    if longest >= limits.prompt_tokens:
        return limits
    progress.say(
        f"prompt_tokens is {longest} in place of {limits.prompt_tokens}: a longer prompt would take more "
        f"than half of the {free / 1e9:.1f} GB that are free"
    )
    return replace(limits, prompt_tokens=longest)


def _models(config: ServeConfig, device: str, progress: AbstractProgress) -> "list[Model]":
    """The models by their names, each with an engine; what they have in common is in memory once."""
    from ramekin.recipes.engines import OpenEngine, open_engine
    from ramekin.serve.service import Model
    from ramekin.tensors.tokenizer import load_tokenizer

    places = places_of(config)
    opened: list[OpenEngine] = []
    for name in config.model_names:
        with progress.stage(f"open {name}"):
            opened.append(
                open_engine(
                    name,
                    places,
                    progress,
                    base=config.base,
                    backend=config.backend,
                    device=device,
                    batch_tokens=config.batch_tokens,
                    threads=config.threads,
                    untested=config.untested == "allow",
                    beside=opened,
                )
            )
        for ignored in opened[-1].ignored:
            progress.say(f"{name}: its own generation setting {ignored} is not read")
    return [
        Model(
            name,
            each.engine,
            load_tokenizer(locate_tokenizer(each.name, places, progress, base=config.base)),
            input_eos=config.input_eos,
            parent=public_name(each.parent) if each.parent else None,
        )
        for name, each in zip(served_names(config), opened, strict=True)
    ]
