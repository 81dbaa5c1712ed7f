"""Hooks that route a transformer's forwards through a cache, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

from tracache.blocks import argument_reader

if TYPE_CHECKING:
    from tracache.cache import CacheHandle

#: Name under which our hooks are registered, one per module.
HOOK = "tracache"


class _Detour(ModelHook):
    """A hook that decides whether the module's own forward runs."""

    def original(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module's own forward."""
        return cast(Any, self.fn_ref).original_forward(*args, **kwargs)


class StepHook(ModelHook):
    """Around the transformer's forward: one step of the run."""

    def __init__(self, cache: CacheHandle, transformer: nn.Module) -> None:
        super().__init__()
        self._cache = cache
        self._latents = argument_reader(transformer.forward, "hidden_states")
        self._timestep = argument_reader(transformer.forward, "timestep")

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        self._cache.begin_step(self._latents(args, kwargs), self._timestep(args, kwargs))
        return args, kwargs

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        self._cache.end_step()
        return output


class FeederHook(_Detour):
    """Around a module that only feeds blocks."""

    def __init__(self, cache: CacheHandle) -> None:
        super().__init__()
        self._cache = cache

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return self._cache.run_feeder(lambda: self.original(*args, **kwargs))


class BlockHook(_Detour):
    """Around a block's forward."""

    def __init__(self, cache: CacheHandle, index: int) -> None:
        super().__init__()
        self._cache = cache
        self._index = index

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        hidden_states = args[0] if args else kwargs["hidden_states"]
        return self._cache.run_block(
            self._index, hidden_states, lambda: self.original(*args, **kwargs)
        )


def hook_modules(hooks: dict[nn.Module, ModelHook]) -> None:
    """Put a hook on each module."""
    for module, hook in hooks.items():
        HookRegistry.check_if_exists_or_initialize(module).register_hook(hook, HOOK)


def is_hooked(module: nn.Module) -> bool:
    """Whether one of our hooks is on the module."""
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and HOOK in registry.hooks


def unhook(module: nn.Module) -> None:
    """Take our hook off a module, and what attaching left on it if no other hook is there."""
    registry: Any = module._diffusers_hook
    registry.remove_hook(HOOK, recurse=False)
    if registry.hooks:
        return
    del module._diffusers_hook
    # The registry puts the class's own forward back as an attribute of the instance.
    if module.__dict__.get("forward") == type(module).forward.__get__(module):
        del module.forward
