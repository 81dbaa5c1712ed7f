"""Offloading comes and goes under a cache, in any order; so do adapters."""

from __future__ import annotations

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from accelerate.hooks import remove_hook_from_module
from peft import LoraConfig

import tracache
from tests.caching.pipes import PIPES
from tests.caching.test_battery import CONFIG, SHARES
from tests.caching.zoo import Inputs, make
from tracache.caching.discover import Arguments
from tracache.caching.methods.planned import PlannedConfig

NAMES = ["FluxTransformer2DModel", "UNet2DConditionModel", "PixArtTransformer2DModel"]
#: O and X put offloading on and take it off, A and D attach and detach, R runs.
ORDERS = ["OARDRX", "AORDRX", "AOXRDR", "OAXRDR", "OAXORDR", "ORARDX"]


def whole(model):
    """As ``enable_model_cpu_offload`` does."""
    _, hook = cpu_offload_with_hook(model, execution_device="cpu")
    return hook.remove


def in_turn(model):
    """As ``enable_sequential_cpu_offload`` does: weights come as each layer needs them."""
    cpu_offload(model, execution_device=torch.device("cpu"))
    return lambda: remove_hook_from_module(model, recurse=True)


class Run:
    def __init__(self, name):
        self.model = make(name)
        self.arguments, self.inputs = Arguments(self.model), Inputs(name, self.model)
        self.given = self.inputs(0.5)

    @torch.no_grad()
    def __call__(self):
        outputs = []
        for seed, share in enumerate(SHARES):
            new = self.inputs(share, seed)
            names = (self.arguments.latents, self.arguments.time)
            given = {**self.given, **{name: new[name] for name in names}}
            outputs.append(self.model(**given, return_dict=False)[0])
        return torch.stack(outputs)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("offload", [whole, in_turn])
@pytest.mark.parametrize("name", NAMES)
def test_offloading_may_come_and_go(name, offload, order):
    run = Run(name)
    plain = run()
    handle = tracache.attach(run.model, CONFIG)
    cached = run()
    handle.detach()
    assert not torch.equal(cached, plain)
    expected = plain
    for what in order:
        if what == "O":
            remove = offload(run.model)
        elif what == "X":
            remove()
        elif what == "A":
            handle, expected = tracache.attach(run.model, CONFIG), cached
        elif what == "D":
            handle.detach()
            expected = plain
        else:
            assert torch.equal(run(), expected)
    assert torch.equal(run(), plain)
    assert not hasattr(run.model, "_diffusers_hook")


@pytest.mark.parametrize("config", [CONFIG, PlannedConfig(compute=2)], ids=["blocks", "planned"])
@pytest.mark.parametrize("name", ["FLUX.1", "Wan 2.2, two experts", "SDXL"])
def test_a_pipeline_that_offloads_at_the_end_of_each_call_stays_accelerated(name, config):
    pipe, given = PIPES[name]()
    pipe.set_progress_bar_config(disable=True)

    def run():
        generator = torch.Generator().manual_seed(0)
        asked = {**given, "num_inference_steps": 4, "output_type": "latent"}
        return pipe(**asked, generator=generator, return_dict=False)[0]

    plain = run()
    with tracache.accelerate(pipe, config):
        cached = run()
    assert not torch.equal(cached, plain)
    pipe.enable_model_cpu_offload(device="cpu")
    assert torch.equal(run(), plain)
    with tracache.accelerate(pipe, config):
        # A call's end takes all that offloads off, and puts it on again.
        assert torch.equal(run(), cached)
        assert torch.equal(run(), cached)
    assert torch.equal(run(), plain)
    pipe.remove_all_hooks()
    assert torch.equal(run(), plain)


def test_an_adapter_may_be_put_on_before_or_after():
    outputs = []
    for order in ("LAR", "ALR", "ARLR"):
        run = Run("FluxTransformer2DModel")
        for what in order:
            if what == "L":
                torch.manual_seed(0)
                lora = LoraConfig(
                    r=2, target_modules=["to_q", "proj_out", "x_embedder"], init_lora_weights=False
                )
                run.model.add_adapter(lora)
            elif what == "A":
                handle = tracache.attach(run.model, CONFIG)
            else:
                output = run()
        outputs.append(output)
        assert handle.trace.computed.tolist() == [True, False, True, False]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
