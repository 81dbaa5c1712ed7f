# The demo with its embedded models, on a CPU or a GPU:
#   docker build -t tracache . && docker run -p 7860:7860 tracache
FROM python:3.12-slim

# Spaces run containers as user 1000.
RUN useradd --create-home --uid 1000 user
USER user
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860
WORKDIR /home/user/app

COPY --chown=user requirements.txt .
# For an image without CUDA, pass --build-arg TORCH_INDEX=<the index of PyTorch's CPU builds>.
ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt

COPY --chown=user . .

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/gradio_api/info', timeout=4)"
CMD ["python", "app.py"]
