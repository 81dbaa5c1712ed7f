"""The library: attaches a method to a denoiser, and keeps what it decided.

=================  =================================================================================
denoiser           what a scheduler calls at each step: a transformer, a UNet
method             an algorithm that decides what a denoiser computes, with its configuration
arm                one way to run a request: full compute, a method, fewer steps
request, job       everything a visitor asked for; the same on its way through the page
run                one pass through the denoising loop; it gives a sample
computed, skipped  the two kinds of step: the blocks run, or their output is predicted
trace              what a method decided, step by step and block by block
trajectory, order  a feature's history along the computed steps; degree of its polynomial
space, rule        what has a trajectory; how it goes on
placement, plan    where a number of computed steps goes; which steps compute
report             what a comparison found
=================  =================================================================================
"""
