#!/bin/sh
# A secret is a file /run/secrets/NAME; the program finds it as the environment variable NAME.
set -eu
for secret in /run/secrets/*; do
    [ -f "$secret" ] || continue
    export "$(basename "$secret")=$(cat "$secret")"
done
exec "$@"
