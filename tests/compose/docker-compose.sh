#!/usr/bin/env bash
# docker-compose.sh FOLDER    prints a docker-compose 2: this machine's, or one that it puts into FOLDER
#
# Debian 12's own package is 1.29, which does not know compose.yaml; Debian 13's is a single program that runs here as it is.
set -euo pipefail
folder=$1
for compose in "$(command -v docker-compose || true)" "$folder/docker-compose" /usr/libexec/docker/cli-plugins/docker-compose; do
    if [ -x "$compose" ] && "$compose" version --short 2>/dev/null | grep -q '^v\?[2-9]'; then
        echo "$compose"
        exit
    fi
done
mkdir -p "$folder"
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$apt/sources"
options=(-o Dir::Etc::sourcelist="$apt/sources" -o Dir::Etc::sourceparts="$apt/parts" -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache")
apt-get "${options[@]}" -qq update >&2
(cd "$apt" && apt-get "${options[@]}" -qq download docker-compose && dpkg -x docker-compose_*.deb unpacked) >&2
install "$apt/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$folder/docker-compose"
echo "$folder/docker-compose"
