# Two stages: packages are installed in the first, and only they and the code reach the second.
FROM python:3.11-slim-bookworm AS packages
WORKDIR /srv/muster
RUN python -m venv --without-pip /srv/venv
COPY requirements.txt .
RUN pip --python /srv/venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.11-slim-bookworm
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --create-home --home-dir /srv/muster muster
WORKDIR /srv/muster
COPY --from=packages /srv/venv /srv/venv
COPY . .
RUN python -m compileall -q . && install -d -m 700 -o muster -g muster var
USER muster
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--workers", "2"]
