# The demo with its embedded models, on an NVIDIA GPU or a CPU:
#   docker build -t tracache . && docker run --gpus all -p 7860:7860 tracache
# It needs to write to its cache and to /tmp alone, so that it may run closed:
#   docker run --read-only --tmpfs /tmp -v tracache:/home/user/.cache -p 7860:7860 tracache
# PyTorch brings its own CUDA, so the host needs no more than the driver and its container toolkit.
FROM python:3.12-slim

# Spaces run containers as user 1000.
RUN useradd --create-home --uid 1000 user
USER 1000
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860
WORKDIR /home/user/app

COPY --chown=user requirements.txt .ci/constraints.txt ./
# For a slim image without CUDA: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH_INDEX=""
# The version that the requirements allow, from that index; the rest from the usual one.
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --index-url "$TORCH_INDEX" -c constraints.txt "$(grep '^torch[>=<]' requirements.txt)"; \
    fi && \
    pip install --no-cache-dir -r requirements.txt -c constraints.txt

# What is in the image, for whoever has to answer for it: sbom.json, in CycloneDX's format.
RUN python -m venv /tmp/sbom && \
    /tmp/sbom/bin/pip install --no-cache-dir "cyclonedx-bom>=7,<8" && \
    /tmp/sbom/bin/cyclonedx-py environment --output-file sbom.json "$(command -v python)" && \
    rm -rf /tmp/sbom

COPY --chown=user . .

# Where the Hub's models go: mount a volume here to keep them.
RUN mkdir -p /home/user/.cache
VOLUME /home/user/.cache

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/readyz', timeout=4)"]
CMD ["python", "app.py"]
