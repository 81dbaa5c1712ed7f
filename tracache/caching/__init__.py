"""The library: attaches a method to a denoiser, and keeps what it decided."""
