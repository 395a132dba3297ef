# Two stages: the first installs, compiles and gathers; only the result and the code reach the second.
# `scripts/image.py` runs these very steps, and the result, without an engine.
FROM python:3.11-slim-bookworm AS build
WORKDIR /srv/muster
RUN python -m venv --without-pip /srv/venv
COPY requirements.txt .
RUN pip --python /srv/venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY . .
# Settings want a key; this one signs nothing and is gone with its process. So is the var/ that they make.
RUN python -m compileall -q . \
    && SECRET_KEY="$(python -c 'import secrets; print(secrets.token_hex(48))')" \
        /srv/venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && rm -rf var

FROM python:3.11-slim-bookworm
ARG VERSION=0 REVISION=unknown
LABEL org.opencontainers.image.title="Muster" \
      org.opencontainers.image.description="Users, sessions, roles and permissions for your applications" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/muster
COPY --from=build /srv /srv
# What runs owns nothing but var/, so it can change neither its code nor its packages, read-only root or not.
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /srv/muster muster \
    && install -d -m 700 -o muster -g muster var
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
VOLUME /srv/muster/var
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--workers", "2"]
