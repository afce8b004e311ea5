#!/bin/sh
# packages.sh - installs what is missing of the Debian packages named as arguments; "a|b" is satisfied by either, and installed as the
# first that there is. Asks the network nothing when nothing is missing. Elsewhere than on Debian and its kin it looks for the pkg-config
# modules in MODULES instead, and names what is missing, but installs nothing.
set -eu

say() { echo "packages: $*"; }

# On other systems names differ; the modules do not.
elsewhere() {
	missing=
	for tool in cc make pkg-config; do
		command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
	done
	for module in ${MODULES:-}; do
		pkg-config --exists "$module" 2>/dev/null || missing="$missing $module"
	done
	if [ -z "$missing" ]; then
		say "this is no Debian; a compiler and the libraries are there"
		exit 0
	fi
	say "this is no Debian; missing:$missing"
	say "on Debian these would be installed: $*"
	exit 1
}

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }
is_offered() { apt-cache show "$1" 2>/dev/null | grep -q '^Package:'; }

any_installed() {
	for name in $(echo "$1" | tr '|' ' '); do
		is_installed "$name" && return 0
	done
	return 1
}

first_offered() {
	for name in $(echo "$1" | tr '|' ' '); do
		if is_offered "$name"; then
			echo "$name"
			return
		fi
	done
	echo "${1%%|*}"       # nothing is: apt-get will say so
}

{ command -v dpkg-query && command -v apt-get; } >/dev/null 2>&1 || elsewhere "$@"

missing=
for wanted; do
	any_installed "$wanted" || missing="$missing $wanted"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		say "missing:$missing"
		say "run this as root: apt-get install$(for m in $missing; do printf ' %s' "${m%%|*}"; done)"
		exit 1
	fi
	root=sudo
fi
say "missing:$missing"
$root apt-get update -q
names=
for wanted in $missing; do
	names="$names $(first_offered "$wanted")"
done
say "apt-get install$names"
# shellcheck disable=SC2086  # words on purpose
$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $names
