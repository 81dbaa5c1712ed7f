"""Runs that are cut on purpose."""

from dataclasses import replace

import torch

from tracache.training.fit import Budget


class Cut(Budget):
    """A budget that is cut short: the run ends as if by Ctrl-C after ``after`` steps."""

    after: int

    def progress(self, step, elapsed):
        if step == self.after:
            raise KeyboardInterrupt
        return super().progress(step, elapsed)


def cut_after(steps, effort):
    """The same effort, cut after so many steps, each of them saved."""
    budget = Cut(**vars(effort.budget))
    object.__setattr__(budget, "after", steps)
    return replace(effort, budget=budget, save_every=0.0)


def same_weights(one, other):
    """Assert that two checkpoints hold the same weights, bit for bit."""
    one, other = (torch.load(path, weights_only=True) for path in (one, other))
    assert one["step"] == other["step"]
    assert one["module"].keys() == other["module"].keys()
    pairs = [(one["module"][key], other["module"][key]) for key in one["module"]]
    pairs += zip(one["average"]["shadow_params"], other["average"]["shadow_params"], strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=0, atol=0)
