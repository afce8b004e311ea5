#!/bin/sh
# packages.sh PACKAGE... - installs those Debian packages that are missing, and says which. Elsewhere it names them and stops.
set -eu

missing=
if command -v dpkg-query >/dev/null 2>&1; then
	for p in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
	done
	[ -n "$missing" ] || exit 0
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "missing packages:$missing" >&2
		exit 1
	fi
else
	echo "This is not a Debian system. Needed are the packages that Debian calls:" >&2
	echo "  $*" >&2
	echo "Install what your system calls them, then run make again (with PACKAGES=no)." >&2
	exit 1
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "missing packages:$missing (become root, or install sudo)" >&2
		exit 1
	fi
	as_root=sudo
fi
echo "installing:$missing"
# shellcheck disable=SC2086
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
