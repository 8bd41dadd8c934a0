# What `make up` runs, but for the stores: see compose.yaml.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
RUN pip install --no-cache-dir uv && useradd --create-home --uid 10001 app
WORKDIR /app
COPY pyproject.toml requirements.lock ./
RUN uv pip install --system --no-cache --compile-bytecode -r requirements.lock
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
