#!/usr/bin/env bash
# An MLflow server for the jobs of a cluster: passwords on, this machine's loopback only.
#   pip install 'mlflow[auth]'                     once; for PostgreSQL psycopg2-binary, too
#   scripts/tracking_server.sh ~/tracking          runs in ~/tracking/mlflow.db, files in ~/tracking/files
#   STORE=postgresql+psycopg2://cnnexp@localhost/mlflow scripts/tracking_server.sh ~/tracking 5001
# How jobs and people reach it: docs/tracking_server.md.
set -euo pipefail
folder=${1:?the folder of the store: scripts/tracking_server.sh FOLDER [PORT]}
port=${2:-5000}
mkdir -p "$folder"
cd "$folder"
umask 077 # what follows is nobody else's to read

# The first user. MLflow reads it when there is none yet; others: docs/tracking_server.md.
[ -s admin_password ] || python -c 'import secrets; print(secrets.token_urlsafe(16))' >admin_password
[ -s session_key ] || python -c 'import secrets; print(secrets.token_hex(32))' >session_key
MLFLOW_AUTH_ADMIN_PASSWORD=$(cat admin_password)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat session_key)
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_DISABLE_TELEMETRY=true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # processes that only language models need

echo "user admin, password in $folder/admin_password; http://127.0.0.1:$port"
exec mlflow server --app-name basic-auth --host 127.0.0.1 --port "$port" --workers 2 \
  --backend-store-uri "${STORE:-sqlite:///mlflow.db}" --artifacts-destination files
