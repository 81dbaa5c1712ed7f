"""How the page looks: Gradio's default theme in calmer colours, and a little of our own."""

from __future__ import annotations

import gradio as gr

THEME = gr.themes.Default(
    primary_hue="teal",
    secondary_hue="slate",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

CSS = """
.gradio-container { max-width: min(1240px, 100vw) !important; margin: 0 auto !important; }
.gradio-container main, .gradio-container .wrap { min-width: 0; max-width: 100%; }
.tc-main > .column, .tc-main > div { min-width: 0 !important; }
@media (max-width: 760px) {
  .tc-main { flex-direction: column !important; }
  .tc-main > * { width: 100% !important; flex: none !important; }
}
#slider { max-width: 420px; margin: 0 auto; }
.tc-picture { aspect-ratio: 1; }
.tc-picture img { width: 100% !important; height: 100% !important; object-fit: contain; }
.tc-quiet, .tc-legend, .tc-count { color: var(--body-text-color-subdued); }
.tc-quiet { font-size: 0.9rem; margin: 0.4rem 0; }
.tc-banner { font-size: 0.9rem; color: var(--body-text-color-subdued); }
.tc-banner b { color: var(--body-text-color); }
.tc-banner .tc-bad { color: var(--error-text-color, #b3261e); }
.tc-words { font-size: 0.9rem; }
.tc-words p { margin: 0.15rem 0; }
.tc-warn p:not(:last-child) { color: var(--body-text-color); font-weight: 600; }
.tc-status { min-height: 7.5rem; }
.tc-message { font-weight: 600; margin: 0 0 0.5rem; }
.tc-arm { display: grid; grid-template-columns: 1fr auto; gap: 0.1rem 0.75rem;
          margin-bottom: 0.5rem; font-size: 0.92rem; }
.tc-count { font-variant-numeric: tabular-nums; }
.tc-strip { grid-column: 1 / -1; display: flex; gap: 1px; }
.tc-cell { display: inline-block; flex: 1 1 0; min-width: 1px; height: 12px; border-radius: 2px;
           background: var(--border-color-primary); }
.tc-full { background: #0f766e; }
.tc-skip { background: #7dd3c8; }
.tc-legend { font-size: 0.8rem; margin: 0; }
.tc-legend .tc-cell { flex: none; width: 12px; margin: 0 0.2rem 0 0.7rem; vertical-align: -1px; }
.tc-legend .tc-cell:first-child { margin-left: 0; }
.tc-scroll { overflow-x: auto; max-width: 100%; }
.tc-table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
            font-size: 0.84rem; margin: 0 !important; border: 0 !important; }
.tc-table thead, .tc-table tbody, .tc-table tr { border: 0 !important; }
.tc-table th, .tc-table td { padding: 0.4rem 0.4rem !important; text-align: right !important;
            white-space: nowrap; border: 0 !important;
            border-bottom: 1px solid var(--border-color-primary) !important;
            color: var(--body-text-color); }
.tc-table thead th { white-space: normal; vertical-align: bottom; font-weight: 600; }
.tc-table th:first-child { text-align: left !important; white-space: nowrap; position: sticky;
            left: 0; background: var(--body-background-fill); }
footer { opacity: 0.6; }
"""
