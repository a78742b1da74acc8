#!/bin/sh
# Installs what `make interop` needs and this machine lacks: node with npm,
# apache2 with mod_auth_openidc, and Java with Maven. Does nothing when all is
# there.
set -eu

packages=
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || packages="$packages nodejs npm"
command -v apache2 >/dev/null 2>&1 || packages="$packages apache2"
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || packages="$packages libapache2-mod-auth-openidc"
command -v javac >/dev/null 2>&1 || packages="$packages default-jdk-headless"
command -v mvn >/dev/null 2>&1 || packages="$packages maven"
[ -z "$packages" ] && exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=no; fi
fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "make interop needs packages that are missing here:$packages" >&2
    exit 1
fi
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $packages
