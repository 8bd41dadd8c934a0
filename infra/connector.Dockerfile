# The connector: docker build -f infra/connector.Dockerfile -t stonechat/connector:0.1.0 .
# PYTHON is the image to begin with: name it with its digest, python@sha256:…, to build the same again.
ARG PYTHON=python:3.12-slim
FROM ${PYTHON} AS packages
COPY requirements-uv.lock infra/connector.lock /build/
RUN pip install --no-cache-dir --require-hashes -r /build/requirements-uv.lock
RUN uv venv /packages \
 && uv pip install --no-cache --compile-bytecode --python /packages/bin/python \
    --require-hashes -r /build/connector.lock

FROM ${PYTHON}
RUN useradd --no-create-home --uid 10001 app
COPY --from=packages /packages /packages
WORKDIR /app
COPY shared shared
COPY connector connector
ENV PATH=/packages/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    STONECHAT_CONNECTOR_HOST=0.0.0.0
USER 10001
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('STONECHAT_CONNECTOR_PORT', '8001') + '/healthz', timeout=2)"]
CMD ["python", "-m", "connector"]
