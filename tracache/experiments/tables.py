"""Rows of the benchmarks as cells of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracache.compare.arms import ARMS
from tracache.experiments.grid import spacing_of
from tracache.experiments.latency import LatencyRow
from tracache.experiments.memory import MemoryRow
from tracache.experiments.paper import MacsRow
from tracache.experiments.tune import Tuned
from tracache.experiments.unrecorded import QualityRow
from tracache.models.presets import CUSTOM


def show_memory(row: MemoryRow) -> dict[str, str]:
    """Of ``bench --memory``."""
    return {
        "arm": ARMS[row.arm].title if row.arm in ARMS else row.arm,
        "stride": str(row.stride),
        "max order": str(row.max_order),
        "steps": str(row.steps),
        "batch": str(row.batch),
        row.kind: f"{row.bytes / 2**30:.3f} GiB",
        "over full compute": f"{row.ratio - 1:+.1%}",
    }


def show_macs(row: MacsRow) -> dict[str, str]:
    """Of ``bench --macs``."""
    return {
        "table": row.table,
        "model": row.model.rpartition("/")[2],
        "row": row.name,
        "paper": f"{row.paper:.2f}",
        "ours": "" if row.ours is None else f"{row.ours:.2f}",
        "of the paper's": "" if row.ratio is None else f"{row.ratio:.1%}",
        "all products": "" if row.all_products is None else f"{row.all_products:.2f}",
        "note": row.note,
    }


def show_arm_macs(row: Mapping[str, Any]) -> dict[str, str]:
    """Of ``bench --macs --model``."""
    share = row["share"]
    return {
        "steps": str(row["steps"]),
        "stride": str(row["stride"]),
        "arm": row["title"],
        "MACs, 10¹²": "by its run" if row["macs"] is None else f"{row['macs'] / 1e12:.4g}",
        "share": "" if share is None else f"{share:.1%}",
        "fewer by": "" if share is None else f"{1 / share:.2f}×",
    }


def show_quality(row: QualityRow) -> dict[str, str]:
    """Of ``bench --quality``."""
    request, means = row.request, row.summary
    preset = request.preset
    return {
        "steps": str(request.steps),
        "stride": str(spacing_of(request)) if preset == CUSTOM else f"preset {preset}",
        "arm": ARMS[row.arm].title,
        "full steps": f"{means.full_steps:.4g}",
        "block calls": f"{means.block_calls:.1%}",
        "MACs": f"{means.macs:.1%}",
        "PSNR": f"{means.psnr:.2f} dB",
        "SSIM": f"{means.ssim:.4f}",
        "latent error": f"{means.latent_error:.4f}",
        "Fréchet": "" if row.distance is None else f"{row.distance:.3f}",
    }


def show_latency(row: LatencyRow) -> dict[str, str]:
    """Of ``bench --latency``."""
    return {
        "arm": ARMS[row.arm].title if row.arm in ARMS else row.arm,
        "stride": str(row.stride),
        "batch": f"{row.batch}, compiled" if row.compiled else str(row.batch),
        "full steps": f"{row.full_steps or '?'} of {row.steps}",
        "denoising": f"{row.denoising_s:.3f} s",
        "speed-up": f"{row.speed_up:.2f}×",
        "MACs": f"{row.macs_ratio:.2f}×",
        "of that": f"{row.efficiency:.3f}",
        "computed step": f"{row.computed_ms:.2f} ms",
        "skipped step": f"{row.skipped_ms:.2f} ms",
        "outside": f"{row.outside_ms:.2f} ms",
        row.peak_kind: f"{row.peak_bytes / 2**30:.2f} GiB, {row.peak_ratio - 1:+.1%}",
    }


def show_tuned(tuned: Tuned) -> dict[str, str]:
    """Of ``tune``."""
    cache = tuned.cache
    return {
        "steps": str(tuned.steps),
        "computed": str(tuned.budget),
        "latent error": f"{tuned.error:.4f}",
        "fewer steps": f"{tuned.fewer_steps:.4f}",
        "order": "linear" if cache.order == "fixed" else f"up to {cache.max_order}",
        "along": cache.abscissa,
        "which": " ".join(map(str, cache.full_steps or ())),
    }
