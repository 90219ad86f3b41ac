#!/usr/bin/env bash
# What `make test-compose` needs on a Debian machine, made when missing: a Docker engine, docker-compose 2, base images.
#
#   engine.sh FOLDER    puts docker-compose and a log into FOLDER, prints NAME=VALUE lines for the stack's .env
#
# Where no image registry can be reached, base images are stood in for: Python's by Debian's own 3.11 (debootstrap, with
# this machine's certificates), PostgreSQL's and Prometheus' by Debian's packages on it.
set -euo pipefail
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
exec 3>&1 1>"$folder/engine.log" 2>&1

install() { apt-get -o DPkg::Lock::Timeout=300 -qq update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends install "$@"; }

engine=
if ! docker info; then
    command -v dockerd && command -v iptables || install docker.io iptables
    # fd 3 is what our caller reads to its end: an engine that kept it would make it wait for ever.
    setsid dockerd >"$folder/dockerd.log" 2>&1 3>&- &
    for _ in $(seq 60); do docker info && break || sleep 1; done
    docker info
    engine=$(cat /var/run/docker.pid)
fi
compose=$(bash "$here/docker-compose.sh" "$folder")

there() { docker image inspect "$1" >/dev/null; }

standing_in=()
python=python:3.11-slim
stand_in=wheeltapper/stand-in-python:3.11
if ! there "$python" && { there "$stand_in" || ! timeout 60 docker pull "$python"; }; then
    python=$stand_in
    standing_in+=(python)
    if ! there "$python"; then
        command -v debootstrap || install debootstrap
        root=$(mktemp -d)
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" http://deb.debian.org/debian
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}
        ln -sf python3 "$root/usr/bin/python"
        certificates=/etc/ssl/certs/ca-certificates.crt
        tar -C "$root" -c . | docker import -c "ENV PIP_CERT=$certificates NODE_EXTRA_CA_CERTS=$certificates" - "$python"
        rm -rf "$root"
    fi
fi

image_or_stand_in() { # NAME IMAGE: the image, or one made on the stand-in for Python's; nothing is built twice
    if there "$2" || { ! there "wheeltapper/stand-in-$1" && timeout 60 docker pull "$2" >&2; }; then
        echo "$2"
        return
    fi
    DOCKER_BUILDKIT=0 docker build --build-arg BASE="$python" -t "wheeltapper/stand-in-$1" -f "$here/$1.Dockerfile" "$here" >&2
    echo "wheeltapper/stand-in-$1"
}
named_in_compose() { sed -n "s/^ *image: *\${$1:-\(.*\)}\$/\1/p" "$here/../../compose.yaml"; }
postgres=$(image_or_stand_in postgres "$(named_in_compose POSTGRES_IMAGE)")
prometheus=$(image_or_stand_in prometheus "$(named_in_compose PROMETHEUS_IMAGE)")
case $postgres in wheeltapper/*) standing_in+=(postgres) ;; esac
case $prometheus in wheeltapper/*) standing_in+=(prometheus) ;; esac

cat >&3 <<END
DOCKER_COMPOSE=$compose
ENGINE=$engine
BASE_IMAGE=$python
POSTGRES_IMAGE=$postgres
PROMETHEUS_IMAGE=$prometheus
STANDING_IN=${standing_in[*]:-}
END
