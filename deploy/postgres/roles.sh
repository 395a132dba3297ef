#!/bin/sh
# Makes the database and its two roles, neither a superuser; PostgreSQL's image runs it once, over an empty volume.
# muster_owner migrates. muster serves: it reads and writes rows, and can change no table and no trigger, so whoever
# got hold of the server could still not rewrite the audit events.
set -eu
folder=${SECRETS_FOLDER:-/run/secrets}

password_in() { # NAME of a file with a URL such as postgres://role:password@host/name
    url=$(cat "$folder/$1")
    rest=${url#*://*:}
    echo "${rest%%@*}"
}

OWNER_PASSWORD=$(password_in database_owner_url) PASSWORD=$(password_in database_url)
export OWNER_PASSWORD PASSWORD
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv password PASSWORD
CREATE ROLE muster_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE muster LOGIN PASSWORD :'password';
CREATE DATABASE muster OWNER muster_owner;
REVOKE ALL ON DATABASE muster FROM PUBLIC;
GRANT CONNECT ON DATABASE muster TO muster;
\connect muster
ALTER DEFAULT PRIVILEGES FOR ROLE muster_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO muster;
ALTER DEFAULT PRIVILEGES FOR ROLE muster_owner GRANT SELECT, USAGE ON SEQUENCES TO muster;
SQL
