# What `make up` runs, but for the stores: see compose.yaml.
# PYTHON is the image to begin with: name it with its digest, python@sha256:…, to build the same again.
ARG PYTHON=python:3.12-slim
FROM ${PYTHON}
RUN useradd --create-home --uid 10001 app
WORKDIR /app
COPY requirements-uv.lock requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
 && uv pip install --system --no-cache --compile-bytecode --require-hashes -r requirements.lock
COPY stack.yml ./
COPY shared shared
COPY connector connector
COPY functions functions
COPY template template
COPY local local
RUN install -d -o app -m 700 .local
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
STOPSIGNAL SIGTERM
CMD ["python", "-m", "local", "up"]
