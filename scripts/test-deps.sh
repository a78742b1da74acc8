#!/bin/sh
# Installs what the tests need and this machine lacks: the PostgreSQL server
# binaries, Chromium, and a font with Latin letters. Does nothing when all is
# there. Where it may not install, it says in one line what to do.
set -eu

have_postgres() {
    command -v initdb >/dev/null 2>&1 && return 0
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        [ -x "$dir/initdb" ] && return 0
    done
    return 1
}
have_chromium() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] || [ -x /Applications/Chromium.app/Contents/MacOS/Chromium ]
}
have_fonts() {
    [ "$(uname)" = Darwin ] && return 0
    command -v fc-list >/dev/null 2>&1 && fc-list | grep -qiE 'liberation|dejavu|noto ?sans'
}

need_postgres=; need_chromium=; need_fonts=
have_postgres || need_postgres=1
have_chromium || need_chromium=1
have_fonts || need_fonts=1
[ -z "$need_postgres$need_chromium$need_fonts" ] && exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=no; fi
fi

install() { # manager command, postgres package, chromium package, font package
    packages="${need_postgres:+$2} ${need_chromium:+$3} ${need_fonts:+$4}"
    if [ "$as_root" = no ]; then
        echo "The tests need packages that are missing here. Install them with: sudo $1 $packages" >&2
        exit 1
    fi
    echo "Installing for the tests:$packages"
    # shellcheck disable=SC2086
    $as_root $1 $packages
}

if command -v apt-get >/dev/null 2>&1; then
    [ "$as_root" = no ] || $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    install "apt-get install -y -qq --no-install-recommends" postgresql chromium fonts-liberation
elif command -v dnf >/dev/null 2>&1; then
    install "dnf install -y -q" postgresql-server chromium liberation-sans-fonts
elif command -v apk >/dev/null 2>&1; then
    install "apk add -q" postgresql chromium font-liberation
elif command -v pacman >/dev/null 2>&1; then
    install "pacman -S --noconfirm --needed" postgresql chromium ttf-liberation
elif command -v brew >/dev/null 2>&1; then
    as_root=
    install "brew install -q" postgresql chromium font-liberation
else
    echo "The tests need the PostgreSQL server binaries (initdb, postgres), Chromium and the Liberation fonts: install them with this system's package manager." >&2
    exit 1
fi
