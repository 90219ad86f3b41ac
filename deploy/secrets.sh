#!/bin/sh
# Makes what is missing of the secrets, each a file in ./secrets (Compose), and deploy/kubernetes/overlays/*/secrets.env
# (kustomize). What is there stays as it is: run it as often as you like.
#
# The folder is closed to other users of this machine; the files in it are not, since the containers' user reads them.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets && chmod 700 secrets

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
keep() { [ -e "secrets/$1" ] || { printf '%s' "$2" >"secrets/$1" && chmod 444 "secrets/$1"; }; }

for name in WHEELTAPPER_API_KEY WHEELTAPPER_WEBHOOK_TOKEN postgres_password grafana_password; do
    keep "$name" "$(random)"
done
keep WHEELTAPPER_N8N_PASSWORD "Wt1-$(random)" # n8n asks for a capital and a digit
keep DATABASE_URL "postgresql://wheeltapper:$(cat secrets/postgres_password)@postgres/wheeltapper"
keep SMTP_PASSWORD "" # yours, when your mail server asks for one
keep LLM_API_KEY ""   # yours, when your LLM asks for one

for overlay in single-node production; do
    file=deploy/kubernetes/overlays/$overlay/secrets.env
    [ ! -e "$file" ] || continue
    (
        umask 077
        for name in WHEELTAPPER_API_KEY WHEELTAPPER_WEBHOOK_TOKEN WHEELTAPPER_N8N_PASSWORD; do
            printf '%s=%s\n' "$name" "$(cat "secrets/$name")"
        done
        if [ "$overlay" = production ]; then
            printf '%s\n' 'DATABASE_URL=postgresql://user:password@host/wheeltapper' SMTP_PASSWORD= LLM_API_KEY=
        fi
    ) >"$file"
done
echo "Secrets are in ./secrets and deploy/kubernetes/overlays/*/secrets.env: keep both out of version control."
