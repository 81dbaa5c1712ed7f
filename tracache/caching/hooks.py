"""Hooks that route a denoiser's forwards through a cache, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.hooks import StateManager
from torch import nn

from tracache.caching.methods.base import Call

COMPILED = (
    "a module was compiled with a cache attached to it, so the cache would be compiled too: "
    "detach, call its compile() or compile_repeated_blocks(), and attach again"
)

#: Name under which our hooks are registered, one per module.
HOOK = "tracache"


class Detour(ModelHook):
    """A hook that lets somebody else answer for the module's forward.

    Parameters
    ----------
    answer : callable
        ``answer(call)`` returns what the forward would; ``call()`` runs the module's own.
    compiled : bool, default True
        Whether ``call()`` may run a compiled module as compiled; not where other hooks sit inside.
    """

    def __init__(self, answer: Callable[[Call], Any], compiled: bool = True) -> None:
        super().__init__()
        self._answer = answer
        self._may_compile = compiled
        self._compiled: Any = None
        self._direct = False
        #: The forward by which it is reached, once it is on a module.
        self.placed: Any = None

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        # A compiled module would trace its way into the cache's bookkeeping. So calls reach the
        # hook as they are, and what is compiled is the module's own forward, run from here.
        self._compiled = module.__dict__.pop("_compiled_call_impl", None)
        return module

    def deinitalize_hook(self, module: nn.Module) -> nn.Module:
        if self._compiled is not None:
            module._compiled_call_impl = self._compiled
        return module

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self._direct:
            return self._own_forward(*args, **kwargs)
        if module.__dict__.get("_compiled_call_impl") is not None:
            raise RuntimeError(COMPILED)
        return self._answer(Call(self._run_own, args, kwargs))

    def _run_own(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled is None or not self._may_compile:
            return self._own_forward(*args, **kwargs)
        self._direct = True
        try:
            return self._compiled(*args, **kwargs)
        finally:
            self._direct = False

    def _own_forward(self, *args: Any, **kwargs: Any) -> Any:
        return cast(Any, self.fn_ref).original_forward(*args, **kwargs)


class Cache(Protocol):
    """What the hook on the denoiser tells a cache."""

    def set_context(self, name: str | None) -> None:
        """Enter a context of diffusers' ``cache_context``, or leave it with None."""
        ...

    def forget(self) -> None:
        """Forget the run's history, not what was decided in it."""
        ...


class _Contexts(StateManager):
    """Hears of diffusers' ``cache_context``, by which pipelines name the forwards of a step."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cast(Any, None))
        self._cache = cache

    def set_context(self, context: Any) -> None:
        self._cache.set_context(None if context is None else context.name)


class DenoiserDetour(Detour):
    """The hook on the denoiser itself."""

    _is_stateful = True

    def __init__(self, cache: Cache, answer: Callable[[Call], Any]) -> None:
        super().__init__(answer, compiled=False)
        self._contexts = _Contexts(cache)
        self._cache = cache

    def reset_state(self, module: nn.Module) -> nn.Module:
        # Pipelines reset at the end of a call, when its trace is yet to be read.
        self._cache.forget()
        return module


def hook_module(module: nn.Module, hook: Detour) -> None:
    """Put a hook on a module, beneath what offloads it."""
    registry = HookRegistry.check_if_exists_or_initialize(module)
    with _beneath(module, not registry.hooks):
        registry.register_hook(hook, HOOK)
        hook.placed = vars(module)["forward"]


@contextmanager
def _beneath(module: nn.Module, below: bool) -> Iterator[None]:
    """Let a module's forward be the one that accelerate's hook stands in for.

    That hook comes and goes while ours is there, as at the end of each call of a pipeline that
    offloads, and puts back what it found: only what is beneath it stays.
    """
    if not below or "_old_forward" not in vars(module):
        yield
        return
    inside: Any = module
    offloading, inside.forward = module.forward, module._old_forward
    try:
        yield
    finally:
        inside._old_forward, inside.forward = module.forward, offloading


def is_hooked(module: nn.Module) -> bool:
    """Whether one of our hooks is on the module."""
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and HOOK in registry.hooks


def unhook(module: nn.Module) -> None:
    """Take our hook off a module, and what attaching left on it if no other hook is there."""
    registry: Any = getattr(module, "_diffusers_hook", None)
    if registry is None or HOOK not in registry.hooks:
        return  # attaching was interrupted before there was one
    placed = registry.hooks[HOOK].placed
    with _beneath(module, vars(module).get("_old_forward") is placed):
        registry.remove_hook(HOOK, recurse=False)
        if registry.hooks:
            return
        del module._diffusers_hook
        # The registry puts the class's own forward back as an attribute of the instance.
        if module.__dict__.get("forward") == type(module).forward.__get__(module):
            del module.forward
